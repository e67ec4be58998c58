"""BuildGrid's command line, as a program of the build."""

from buildgrid.server.app import cli

if __name__ == "__main__":
    cli()
