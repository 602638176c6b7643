// Scrapes one port over one kept connection and prints a line of microseconds for each scrape, then the size of the
// last body: `client PORT TIMES`. Written in C so that what is measured is the server.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[8 << 20];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
  if (argc != 3) return 64;
  const char *request = "GET /metrics HTTP/1.1\r\nHost: node\r\nAccept: text/plain;version=0.0.4\r\n\r\n";
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int peer = socket(AF_INET, SOCK_STREAM, 0);
  int one = 1;
  if (connect(peer, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  size_t bodySize = 0;
  for (int i = 0; i < atoi(argv[2]); i++) {
    double began = now();
    if (write(peer, request, strlen(request)) < 0) return 1;
    size_t got = 0;
    size_t wanted = 0;
    int chunked = 0;
    char *end = NULL;
    for (;;) {
      ssize_t length = read(peer, buffer + got, sizeof buffer - 1 - got);
      if (length <= 0) return 2;
      got += (size_t)length;
      buffer[got] = 0;
      if (end == NULL && (end = strstr(buffer, "\r\n\r\n")) != NULL) {
        char *size = strcasestr(buffer, "content-length:");
        if (size != NULL && size < end) wanted = (size_t)(end + 4 - buffer) + (size_t)atol(size + 15);
        else chunked = 1;
      }
      if (end != NULL && !chunked && got >= wanted) break;
      if (end != NULL && chunked && got >= 5 && memcmp(buffer + got - 5, "0\r\n\r\n", 5) == 0) break;
    }
    printf("%.1f\n", now() - began);
    bodySize = got;
  }
  printf("body %zu\n", bodySize);
  return 0;
}
