// Prints the files that paths.h names, from its runfiles.
#include <stdio.h>
#include <stdlib.h>

#include "shapes/paths.h"

int main(int argc, char **argv) {
  const char *paths[] = {PATHS};
  for (int i = 0; i < 2; i++) {
    char path[4096], line[64];
    snprintf(path, sizeof path, "%s.runfiles/%s", argv[0], paths[i]);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) {
      perror(path);
      return 1;
    }
    printf("%s", line);
  }
  return 0;
}
