/* Listens on port 80 as an ordinary user.
 *
 * Its file has net_bind_service permitted, not effective: the program starts whatever
 * the runtime grants, and raises the capability itself (capabilities(7)).
 *
 * Usage: server [--once]   (--once: bind the port, print a line and exit)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "examples/raise/raise.h"

static const char kAnswer[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";

int main(int argc, char **argv) {
  const int permitted = raise_capability(CAP_NET_BIND_SERVICE) == 0;

  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_ANY)}};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) {
    const int error = errno;
    fprintf(stderr, "cannot bind port 80 as uid %d: %s\n", (int)getuid(), strerror(error));
    if (error == EACCES && !permitted) explain_missing(CAP_NET_BIND_SERVICE, "NET_BIND_SERVICE");
    return 1;
  }
  if (listen(listener, 16) != 0) {
    perror("listen");
    return 1;
  }
  printf("listening on port 80 as uid %d\n", (int)getuid());
  fflush(stdout);
  if (argc > 1 && strcmp(argv[1], "--once") == 0) return 0;

  for (;;) {
    char request[4096];
    const int client = accept(listener, NULL, NULL);
    if (client < 0) continue;
    if (read(client, request, sizeof request) > 0 &&
        write(client, kAnswer, sizeof kAnswer - 1) < 0) {
      perror("write");
    }
    close(client);
  }
}
