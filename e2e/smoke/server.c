/* Binds port 80. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

int main(void) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
  if (bind(listener, (const struct sockaddr *)&address, sizeof address) != 0) {
    perror("bind");
    return 1;
  }
  puts("bound port 80");
  return 0;
}
