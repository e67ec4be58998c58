// The program of links.bzl, and its interpreter. Alone, it executes <itself>.runfiles/$PYTHON3 as a launcher does. As the
// interpreter, it says where it is and finds the modules foo and bar as Node.js does.
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_file(const char *module, const char *path) {
  char line[64], real[PATH_MAX];
  FILE *file = fopen(path, "r");
  if (!file || !fgets(line, sizeof line, file) || !realpath(path, real)) {
    perror(path);
    return 1;
  }
  fclose(file);
  printf("%s: %s: %s", module, real, line);
  return 0;
}

int main(int argc, char **argv) {
  char path[PATH_MAX], self[PATH_MAX] = "", module[PATH_MAX];
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) return 1;
  if (argc == 1) {
    // Below the name that it was started by: it may be a link itself.
    snprintf(path, sizeof path, "%s.runfiles/%s", argv[0], getenv("PYTHON3"));
    snprintf(module, sizeof module, "%s.runfiles/%s", argv[0], getenv("MODULES"));
    execl(path, path, module, NULL);
    perror(path);
    return 1;
  }
  printf("%s is %s\n", argv[0], self);
  snprintf(path, sizeof path, "%s/foo/name", argv[1]);
  if (print_file("foo", path)) return 1;
  // require("bar") in foo: node_modules/bar of the real path of foo's parents.
  snprintf(path, sizeof path, "%s/foo", argv[1]);
  if (!realpath(path, module)) return 1;
  strcpy(strrchr(module, '/'), "/bar/name");
  return print_file("bar", module);
}
