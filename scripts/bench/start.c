// Starts a program, asks it for /metrics every millisecond until it has answered once, prints the milliseconds that
// took, and ends it: `start PORT PROGRAM ARGUMENT...`.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int answers(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int peer = socket(AF_INET, SOCK_STREAM, 0);
  int ok = 0;
  if (connect(peer, (struct sockaddr *)&address, sizeof address) == 0) {
    const char *request = "GET /metrics HTTP/1.0\r\n\r\n";
    char head[16] = "";
    ok = write(peer, request, strlen(request)) > 0 && read(peer, head, sizeof head - 1) > 12 && strstr(head, " 200") != NULL;
  }
  close(peer);
  return ok;
}

int main(int argc, char **argv) {
  if (argc < 3) return 64;
  double began = now();
  pid_t child = fork();
  if (child == 0) {
    int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  while (!answers(atoi(argv[1]))) {
    if (now() - began > 20000) return 1;
    usleep(1000);
  }
  printf("%.1f\n", now() - began);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return 0;
}
