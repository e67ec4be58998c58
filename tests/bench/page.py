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
([Layers](layers.md#compression)). {machine}.

| measurement | goal | result |
|---|---|---|
{goals}

No result makes a test fail. [All results](#all-results) has everything that was measured.
"""

_MONOREPO = """\
## Many images in Bazel

{table}

Measured on {date}, {rounds} rounds, on {machine}. Ratios are the median of those within a round, with the lowest and the highest.

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
becomes `--override_module=NAME=DIR/NAME`, and two files with lines for the workspace's `MODULE.bazel` (`module`) and `.bazelrc`
(`bazelrc`). A folder `rules_img` or `rules_oci` adds that contender. With access to the Bazel Central Registry, this is all:

    git clone https://github.com/bazel-contrib/rules_img DIR/rules_img
    git clone https://github.com/bazel-contrib/rules_oci DIR/rules_oci
    ./bazelw run //tests/bench:monorepo -- --rulesets DIR
"""

_THREADS = """\
## Compression on many CPUs

{table}

A binary of {size:.0f} MB, measured on {date}, {rounds} rounds, on {machine}. The measured columns are wall times of programs that are
started anew, and the files are in the page cache. On one and two CPUs, the programs ran with that CPU affinity.

The computed columns are arithmetic. On n CPUs, a program takes an n-th of its processor time, or the time of the slowest stage that
only one thread can do, if that is longer. The packer reads the file ({reading:.2f} s), hashes the tar for `diff_id` ({hashing:.2f} s),
and hashes and writes the blob (less than {writing:.2f} s), each in a thread of its own. The start of Python ({start:.2f} s) is left out,
because Bazel keeps the packer running as a worker. pgzip's program, which does what umoci does, reads and hashes the tar in one thread
({pgzip:.2f} s). `zstd -T0` has a pipeline beside it that hashes the tar by sha256sum ({sha256sum:.2f} s). So SHA-256 limits all of
them where CPUs are many.

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
      **measured: fields of results.Results. `groups` replace those of the same workloads.
    """
    old = results.read_results(directory)
    if "groups" in measured:
        measured["groups"] = results.replace_groups(old.groups, measured["groups"])
    everything = dataclasses.replace(old, **measured)
    results.write_results(directory, everything)
    (directory / "benchmarks.md").write_text(write_page(everything))
    (directory / "benchmarks.svg").write_text(plots.draw_overview(everything))
    (directory / "benchmarks-all.svg").write_text(plots.draw_all(everything.groups))


def write_page(everything: results.Results) -> str:
    """Returns the page."""
    least = min((peer.memory[1] for group in everything.groups for peer in group.list_measured().values()), default=0)
    parts = [_HEAD.format(goals="\n".join(report.write_goals(everything.groups)), machine=everything.machine)]
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
