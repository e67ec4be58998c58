"""Judges what a container's processes can do, from its image and its settings.

The room, in the order of the data:

- docker/, compose/ and kubernetes/ read the settings of a container: command lines of docker, podman and nerdctl, Compose
  files, and Kubernetes manifests. settings.py defines their common form; mounts.py and security_options.py parse values
  that command lines and Compose files share.
- engines.py knows what each version of each container engine grants by default.
- process.py is the process model: it computes the capability sets of the container's first process.
- programs/ and shell/ model the programs that execute others (tini, su, shells), so that the chain of programs from the
  container's first program to the one with file capabilities can be followed.
- verdict.py judges whether the program gets the capabilities that its file has, with the reasons, and with fixes that were
  tried.
- needs.py goes the other way: from the capabilities of files to the settings that they need. The command line of this
  package (__main__.py) writes them for an image.
"""
