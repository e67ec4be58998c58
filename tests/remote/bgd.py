"""Runs the command line of BuildGrid."""

from buildgrid.server.app import cli

if __name__ == "__main__":
    cli()
