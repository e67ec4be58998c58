/* Locks memory, as a service does that keeps secrets. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void) {
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_MEMLOCK, &none); /* Whatever the engine's limit is. */
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    perror("cannot lock memory");
    return 1;
  }
  printf("memory is locked, as uid %d\n", getuid());
  return 0;
}
