# A program as a build without Bazel makes it.
cc -static -o app/server app/server.c
