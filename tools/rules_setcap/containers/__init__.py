"""Judges what a container's processes can do, from its image and its settings.

The room, in the order of the data:

- docker/, compose/ and kubernetes/ read the settings of a container: command lines of docker, podman and nerdctl, Compose
  files, and Kubernetes manifests. settings.py defines their common form; mounts.py and security_options.py parse values
  that command lines and Compose files share.
- engines.py knows what each version of each container engine grants by default.
- process.py is the process model: it computes the capability sets of the container's first process.
- programs/ and shell/ model the programs that execute others (tini, su, shells); container_system.py is the system that they
  see. follow.py follows these programs from the container's first one to the one with file capabilities: a chain (chain.py).
  loader.py finds programs of a chain that their dynamic loader does not start.
- verdict.py computes whether the program gets the capabilities that its file has. reasons.py says why, fixes.py finds changes
  that were tried, unneeded.py finds capabilities that nothing needs, and judge.py puts these together.
- dangers.py rates each capability by the danger of a process that has it.
- needs.py goes the other way: from the capabilities of files to the settings that they need. The command line of this
  package (__main__.py) writes them for an image.
"""
