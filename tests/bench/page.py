"""Writes docs/benchmarks.md and its pictures from the results of all benchmarks."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import plots
import report
import results

_HEAD = """\
# Benchmarks

This page compares the rules with other programs, their peers, on the same files in the same run. Ratios are our time to the
peer's: below 1, the rules are faster.

![Size and time of compressed layers; time for many images](benchmarks.svg)

`gzip` is the default of the rules, by libdeflate; `zlib` is gzip by zlib, which a flag chooses
([Layers](layers.md#compression)).

| measurement | goal | result |
|---|---|---|
{goals}

No result makes a test fail. [All results](#all-results) has everything that was measured.
"""

_MONOREPO = """\
## Many images in Bazel

{table}

Measured on {date}, {rounds} rounds, on {machine}.

Ratios are the median of those within a round, with the lowest and the highest.

The workspace has {count:,} services of 5 shapes in equal parts: a static program with a layer of configuration; a program with 100 to
500 runfiles; a program with four layers that other services share; a program over a base; and an index of a program for two
platforms. Programs have 70 kB, other files 0.5 to 4.5 kB. Every round does this for each contender in turn:

- *analysis, cold server*: `bazel build --nobuild` of all images, right after `bazel shutdown`. It starts the server and loads all
  packages.
- *heap for an image*: `bazel info used-heap-size-after-gc` then, less the same for the programs alone.
- *cold build*: the first build of all images, with a server that has loaded and built the programs, and without a disk cache.
- *nothing changed*, *one program changed*: the same build again, three times.
- *analysis, packages loaded*: `--nobuild` with another value of `--define`, three times. Bazel drops its analysis then.

Genrules and rules_pkg make less: layers, and no image of them. A genrule runs tar, sha256sum and gzip. They are the least that such
layers cost in Bazel.

To repeat it:

    ./bazelw run //tests/bench:monorepo -- --count {count} --rounds {rounds} --output docs/

### With rules_img and rules_oci

With `--rulesets DIR`, the benchmark also measures rules_img and rules_oci. `DIR` has a folder with the sources of each module, which
becomes `--override_module=NAME=DIR/NAME`, and two files with further lines of the workspace's `MODULE.bazel` (`module`) and `.bazelrc`
(`bazelrc`), if they are needed. A folder `rules_img` or `rules_oci` adds that contender. `DIR` must not be below `/tmp`, which
sandboxes hide. With access to the Bazel Central Registry, this is all:

    git clone https://github.com/bazel-contrib/rules_img DIR/rules_img
    git clone https://github.com/bazel-contrib/rules_oci DIR/rules_oci
    ./bazelw run //tests/bench:monorepo -- --rulesets DIR

Without the registry, `DIR` needs every module in the graph. It was tried on 2026-11-27 with the sources of rules_img (August 2026)
and rules_oci (June 2026), Bazel 7.7.1, and these folders:

| folder | contents |
|---|---|
| `rules_img` | as it is. If rules_runfiles_group is older than it, `img/private/layer_from_binary.bzl` must load `lib` in place of `runfiles_groups`; the benchmark does not use that rule |
| `bazel_features`, `bazel_skylib`, `rules_runfiles_group`, `sha256.bzl`, `package_metadata` (the folder `metadata` of supply-chain) | as they are |
| `hermetic_launcher`, `bazel_lib` | as they are, with a `MODULE.bazel` of the dependencies and extensions that are not for development; for bazel_lib, without toolchains |
| `rules_oci` | as it is, with a `MODULE.bazel` that has dependencies and no toolchains |
| `tar.bzl` | a stand-in: the two toolchain types in `tar/toolchain`; `oci_image` does not use them |
| `aspect_bazel_lib` | a stand-in: files that load the same names from bazel_lib, a rule `jq`, the toolchain types of jq, coreutils and zstd |
| `bench_tools` | toolchains of local programs: `img` and `regctl`, built by `go build` with `CGO_ENABLED=0`; `jq` 1.7 or later; `zstd`; and a script `coreutils` that runs `"$@"`, also for the toolchain type of bazel_lib |

`module` then has `bazel_dep(name = "bench_tools", version = "")` and `register_toolchains("@bench_tools//:all")`. `bazelrc` overrides
rules_shell with Debian's copy.
"""

_THREADS = """\
## Compression on many CPUs

{table}

Measured on {date}, {rounds} rounds, on {machine}.

The measured columns are wall times for a binary of {size:.0f} MB, of programs that are started anew with the affinity to one and two
CPUs. The files are in the page cache.

The computed columns are arithmetic. On n CPUs, a program takes an n-th of its processor time, or the time of the slowest stage that
only one thread can do, if that is longer. The packer reads the file ({reading:.2f} s), hashes the tar for `diff_id` ({hashing:.2f} s),
and hashes and writes the blob (less than {writing:.2f} s), each in a thread of its own. The start of Python ({start:.2f} s) is left out,
because Bazel keeps the packer running as a worker. pgzip's program, which does what umoci does, reads and hashes the tar in one thread
({pgzip:.2f} s). sha256sum hashes the tar beside `zstd -T0` ({sha256sum:.2f} s). So SHA-256 limits all of them where CPUs are many.

To repeat it:

    cd tests/bench/pgzip && go build -o DIR/pgzip . && cd -
    ./bazelw run //tests/bench:threads -- --peers DIR --output docs/
"""

_METHOD = """\
## Method

The packer runs as in an action: with an isolated interpreter, without `.pyc` files, and in one process unless the table says
otherwise. For each peer, both programs run once to fill the page cache, and then alternately: the packer, the peer, the packer, the
peer. Each pair gives a ratio. The tables show the median of the ratios, with the lowest and the highest.

- Time is the wall time of the command with all its children. Processor time is their user and system time.
- Memory is the peak of the largest process. Less than {own} MiB cannot be measured, because the program that starts the processes uses
  that much itself.
- The files are in the page cache. The output is removed before the next run.
- Before each run, the benchmark allocates as much memory as the run needs, holds it for two seconds and frees it. A virtual machine
  returns memory to its host two seconds after it was freed, and getting 1 GiB back costs the next process seconds of processor
  time.
- The binaries consist of the interpreter's own machine code, repeated with other bytes each time, so that they compress as a binary
  does.

Some peers do less than the packer, which computes `diff_id` and digest: GNU tar and bsdtar in rows with "no digest", and rules_pkg,
which computes none. Some peers do more: umoci, crane and ko also make a manifest and a config, as the packer does in the rows about
assembling. ko also runs Go, which builds a program from its cache, and packs it; the row without files shows how long that takes.
rules_img reads each file twice, because it writes files of equal content as hard links. It runs in two of Bazel's compilation modes:
fastbuild, the default, sets level 1, and dbg sets none.

Times of different sizes are hard to compare. A peer whose gzip blobs are larger than those of the packer's default is compared with
that, and with `gzip 1`, whose size is closest to it.

Tools: {tools}.

To repeat it, which takes half an hour on an idle machine:

    ./bazelw run //tests/bench -- --quick --peers DIR --output docs/

`--peers` has programs that no package has; `--only NAME` measures one workload. Results that are not measured again stay on this page.

## All results

![Time of each peer, relative to the packer](benchmarks-all.svg)
"""


def update_page(directory: pathlib.Path, **measured: Any) -> None:
    """Replaces results in benchmarks.json, and writes the page and its pictures anew.

    Args:
      directory: the directory of the page.
      **measured: fields of results.Results. `groups` replace those of the same workloads, and `tools` those of the same names.
    """
    old = results.read_results(directory)
    if "groups" in measured:
        measured["groups"] = results.replace_groups(old.groups, measured["groups"])
    if "tools" in measured:
        measured["tools"] = {**old.tools, **measured["tools"]}
    everything = dataclasses.replace(old, **measured)
    results.write_results(directory, everything)
    (directory / "benchmarks.md").write_text(write_page(everything))
    (directory / "benchmarks.svg").write_text(plots.draw_overview(everything))
    (directory / "benchmarks-all.svg").write_text(plots.draw_all(everything.groups))


def write_page(everything: results.Results) -> str:
    """Returns the page."""
    least = min((peer.memory[1] for group in everything.groups for peer in group.list_measured().values()), default=0)
    parts = [_HEAD.format(goals="\n".join(report.write_goals(everything.groups)))]
    monorepo = everything.monorepo
    if monorepo:
        rounds = len(next(iter(monorepo.values[results.MONOREPO_ROWS[0]].values())))
        table = "\n".join(report.write_monorepo(monorepo))
        parts.append(
            _MONOREPO.format(table=table, date=monorepo.date, machine=monorepo.machine, count=monorepo.count, rounds=rounds)
        )
    threads = everything.threads
    if threads:
        times = next(iter(threads.times.values()))
        names = ("reading", "hashing the tar", "hashing and writing the blob", "start")
        reading, hashing, writing, start = (threads.stages[name] for name in names)
        parts.append(
            _THREADS.format(
                table="\n".join(report.write_threads(threads)),
                size=threads.size / 1e6,
                date=threads.date,
                rounds=len(next(iter(times.values()))),
                machine=threads.machine,
                reading=reading,
                hashing=hashing,
                writing=writing,
                start=start,
                pgzip=threads.stages["reading and hashing by pgzip's program"],
                sha256sum=threads.stages["sha256sum of the tar"],
            )
        )
    tools = "; ".join(f"{name}: {version}" for name, version in everything.tools.items())
    parts.append(_METHOD.format(own=least >> 20, tools=tools))
    parts += report.write_groups(everything.groups)
    return "\n".join(parts)
