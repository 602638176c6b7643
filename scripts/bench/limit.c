// The limit that the benchmark compares with: a C server that does the least that a scrape of sysctls can be. One
// thread, descriptors kept open, pread into one buffer, one write for each answer.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 4096

static int descriptors[MOST];
static char *names[MOST];
static int count;
static char body[4 << 20];
static char head[256];

static size_t render(void) {
  size_t used = 0;
  char value[4096];
  for (int i = 0; i < count; i++) {
    ssize_t length = pread(descriptors[i], value, sizeof value - 1, 0);
    if (length <= 0) continue;
    value[length] = 0;
    int index = 0;
    for (char *field = strtok(value, " \t\n"); field != NULL; field = strtok(NULL, " \t\n")) {
      used += (size_t)sprintf(body + used, "sysctl_agent_node_sysctl_value{sysctl=\"%s\",index=\"%d\"} %s\n", names[i], index++, field);
    }
  }
  return used;
}

int main(int argc, char **argv) {
  int port = atoi(argv[1]);
  for (int i = 2; i < argc && count < MOST; i++) {
    char path[1024] = "/proc/sys/";
    names[count] = argv[i];
    size_t at = strlen(path);
    for (const char *from = argv[i]; *from; from++) path[at++] = *from == '.' ? '/' : *from == '/' ? '.' : *from;
    path[at] = 0;
    descriptors[count] = open(path, O_RDONLY);
    if (descriptors[count] >= 0) count++;
  }
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0) return 1;
  for (;;) {
    int peer = accept(listener, NULL, NULL);
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    char request[4096];
    while (read(peer, request, sizeof request) > 0) {
      size_t length = render();
      int heading = sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\n\r\n", length);
      if (write(peer, head, (size_t)heading) < 0 || write(peer, body, length) < 0) break;
    }
    close(peer);
  }
}
