/* Executes what its arguments name after "--", as tini and its kin do. */
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int at = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
  if (at >= argc) return 1;
  execv(argv[at], argv + at);
  return 126;
}
