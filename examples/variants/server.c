/* Listens on $PORT, and prints the port.
 *
 * It does not know about capabilities. The image determines whether it may listen
 * below port 1024.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int main(void) {
  const char *port = getenv("PORT");
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 80), .sin_addr = {htonl(INADDR_ANY)}};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) {
    perror("cannot listen");
    return 1;
  }
  printf("listening on port %d\n", ntohs(address.sin_port));
  return 0;
}
