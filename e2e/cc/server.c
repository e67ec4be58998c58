/* Asks for a receive buffer that is larger than the system allows, which needs net_admin. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
  int size = 1 << 26;
  if (setsockopt(socket(AF_INET, SOCK_DGRAM, 0), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
    perror("SO_RCVBUFFORCE");
    return 1;
  }
  printf("a receive buffer of 64 MiB as uid %d\n", getuid());
  return 0;
}
