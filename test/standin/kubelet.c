/*
 * A stand-in for the kubelet in the node tests: what a node agent can see of a kubelet, and no more.
 *
 * It parses its command line as pflag does, reads --config and --config-dir, refuses a bad allowlist with the
 * kubelet's own words and exit code, says READY=1, serves /healthz, and breaks on demand. C and linked
 * statically, so that /proc/PID/cmdline and /proc/PID/exe look like a real kubelet's on any root.
 *
 *   /etc/standin-kubelet.conf     STANDIN_VERSION=v1.36.2 (the environment variable wins)
 *   /etc/standin-kubelet.faults   one fault a line, see load_faults()
 *   /run/standin-kubelet/         pid, version, starts, allowed: what the running one did
 *   --standin-admit NAME=VALUE…   would the running kubelet admit a pod with these sysctls?
 *
 * Texts are those of Kubernetes 1.36 where versions differ in wording only; rules follow the claimed version.
 * Not here: a container runtime, an API server, TLS, and values of flags other than the ones named below.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RUN_DIR "/run/standin-kubelet"

/* Measured on a real kubelet 1.36: it serves /healthz or refuses the allowlist this long after exec. */
static const double START_SECONDS = 0.30, REFUSAL_SECONDS = 0.35;

/* ---------------------------------------------------------------- text */

static void *must(void *p) {
  if (!p) abort();
  return p;
}

static char *format(const char *fmt, ...) {
  va_list args;
  char *out = NULL;
  va_start(args, fmt);
  if (vasprintf(&out, fmt, args) < 0) abort();
  va_end(args);
  return out;
}

/* Go's strconv.Quote, for bytes. */
static char *quote(const char *s) {
  char *out = must(malloc(strlen(s) * 4 + 3)), *o = out;
  *o++ = '"';
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') *o++ = '\\', *o++ = (char)c;
    else if (c == '\n') *o++ = '\\', *o++ = 'n';
    else if (c == '\t') *o++ = '\\', *o++ = 't';
    else if (c == '\r') *o++ = '\\', *o++ = 'r';
    else if (c < 0x20 || c == 0x7f) o += sprintf(o, "\\x%02x", c);
    else *o++ = (char)c;
  }
  *o++ = '"';
  *o = 0;
  return out;
}

static bool has_prefix(const char *s, const char *prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

typedef struct {
  char **v;
  size_t n;
} List;

static void push(List *list, const char *s) {
  list->v = must(realloc(list->v, (list->n + 1) * sizeof *list->v));
  list->v[list->n++] = must(strdup(s));
}

/* The whole file, NUL-terminated; NULL and errno when it cannot be read. */
static char *slurp(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return NULL;
  size_t n = 0, room = 4096;
  char *out = must(malloc(room + 1));
  ssize_t got;
  while ((got = read(fd, out + n, room - n)) > 0) {
    n += (size_t)got;
    if (n == room) out = must(realloc(out, (room *= 2) + 1));
  }
  int why = errno;
  close(fd);
  if (got < 0) {
    free(out);
    errno = why;
    return NULL;
  }
  out[n] = 0;
  return out;
}

/* Go prints errno without C's capital letter. */
static const char *go_error(int number) {
  char *text = must(strdup(strerror(number)));
  text[0] = (char)tolower((unsigned char)text[0]);
  return text;
}

static void klog(char level, const char *where, const char *text) {
  struct timeval now;
  struct tm parts;
  gettimeofday(&now, NULL);
  localtime_r(&now.tv_sec, &parts);
  fprintf(stderr, "%c%02d%02d %02d:%02d:%02d.%06ld %7d %s] %s\n", level, parts.tm_mon + 1, parts.tm_mday,
          parts.tm_hour, parts.tm_min, parts.tm_sec, (long)now.tv_usec, getpid(), where, text);
}

static _Noreturn void command_failed(const char *error) {
  if (strchr(error, '\n')) { /* klog writes multi-line values as a block */
    char *block = format("\"command failed\" err=<");
    for (const char *s = error; s;) {
      const char *end = strchr(s, '\n');
      block = format("%s\n\t%.*s", block, (int)(end ? end - s : (ptrdiff_t)strlen(s)), s);
      s = end ? end + 1 : NULL;
    }
    klog('E', "run.go:72", format("%s\n >", block));
  } else {
    klog('E', "run.go:72", format("\"command failed\" err=%s", quote(error)));
  }
  exit(1);
}

static void sleep_seconds(double seconds) {
  struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  while (nanosleep(&t, &t) < 0 && errno == EINTR) {
  }
}

/* ---------------------------------------------------------------- version */

static const char *version_text = "v1.36.2";
static int minor = 36;

static void set_version(const char *text) {
  int major_number;
  if (sscanf(text, "v%d.%d", &major_number, &minor) != 2 || major_number != 1) {
    fprintf(stderr, "stand-in kubelet: STANDIN_VERSION %s is not like v1.36.2\n", quote(text));
    exit(70);
  }
  version_text = must(strdup(text));
}

static void load_version(void) {
  char *text = slurp("/etc/standin-kubelet.conf");
  for (char *save = NULL, *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
    if (has_prefix(line, "STANDIN_VERSION=")) set_version(line + strlen("STANDIN_VERSION="));
  const char *given = getenv("STANDIN_VERSION");
  if (given && *given) set_version(given);
}

/* ---------------------------------------------------------------- the allowlist's rules */

static const char *const SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

static bool word_character(char c) { return islower((unsigned char)c) || isdigit((unsigned char)c); }

static bool all_of_segment(const char *s, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!word_character(s[i]) && s[i] != '-' && s[i] != '_') return false;
  return true;
}

/* ^(SEGMENT[\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]$, no '/' up to 1.22, at most 253 bytes. */
static bool valid_pattern(const char *s) {
  size_t n = strlen(s);
  if (n == 0 || n > 253) return false;
  const char *separators = minor >= 23 ? "./" : ".";
  for (;;) {
    size_t length = strcspn(s, separators);
    bool last = s[length] == 0;
    if (length == 0 || !all_of_segment(s, length - 1)) return false;
    if (!word_character(s[0]) && !(last && length == 1)) return false;
    if (!word_character(s[length - 1]) && !(last && s[length - 1] == '*')) return false;
    if (last) return true;
    s += length + 1;
  }
}

/* component-helpers NormalizeName (since 1.23): the first separator decides which spelling this is. */
static char *normal_name(const char *s) {
  char *out = must(strdup(s));
  size_t first = strcspn(out, "./");
  if (minor < 23 || out[first] != '/') return out;
  for (char *c = out; *c; c++) *c = *c == '/' ? '.' : *c == '.' ? '/' : *c;
  return out;
}

static bool namespaced(const char *name) {
  static const char *const exact_since_29[] = {"kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni",
                                               "kernel.shm_rmid_forced", "kernel.shm", "kernel.msgmax",
                                               "kernel.msgmnb", "kernel.msgmni", "kernel.msg", NULL};
  if (has_prefix(name, "net.") || has_prefix(name, "fs.mqueue.")) return true;
  if (minor <= 28)
    return strcmp(name, "kernel.sem") == 0 || has_prefix(name, "kernel.shm") || has_prefix(name, "kernel.msg");
  for (size_t i = 0; exact_since_29[i]; i++)
    if (strcmp(name, exact_since_29[i]) == 0) return true;
  return false;
}

/* NULL when this kubelet takes the entry, else its error text. */
static char *entry_error(const char *entry) {
  if (!valid_pattern(entry))
    return format("sysctl %s must have at most 253 characters and match regex (%s%s)*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]",
                  quote(entry), SEGMENT, minor >= 23 ? "[\\./]" : "\\.");
  char *name = normal_name(entry), *star = strchr(name, '*');
  if (star) *star = 0;
  if (namespaced(name)) return NULL;
  if (star && minor <= 28) *star = '*';
  return format("the %s %s are not known to be namespaced", minor >= 29 || star ? "sysctls" : "sysctl", quote(name));
}

/* Appended to every kubelet's list; the kernel-gated ones are taken as given. */
static List safe_sysctls(void) {
  static const struct {
    int since;
    const char *name;
  } safe[] = {{0, "kernel.shm_rmid_forced"},
              {0, "net.ipv4.ip_local_port_range"},
              {0, "net.ipv4.tcp_syncookies"},
              {18, "net.ipv4.ping_group_range"},
              {22, "net.ipv4.ip_unprivileged_port_start"},
              {27, "net.ipv4.ip_local_reserved_ports"},
              {29, "net.ipv4.tcp_keepalive_time"},
              {29, "net.ipv4.tcp_fin_timeout"},
              {29, "net.ipv4.tcp_keepalive_intvl"},
              {29, "net.ipv4.tcp_keepalive_probes"},
              {32, "net.ipv4.tcp_rmem"},
              {32, "net.ipv4.tcp_wmem"}};
  List out = {0};
  for (size_t i = 0; i < sizeof safe / sizeof *safe; i++)
    if (minor >= safe[i].since) push(&out, safe[i].name);
  return out;
}

static bool list_admits(List list, const char *name) {
  for (size_t i = 0; i < list.n; i++) {
    char *pattern = normal_name(list.v[i]);
    size_t n = strlen(pattern);
    if (pattern[n - 1] == '*' ? strncmp(name, pattern, n - 1) == 0 : strcmp(name, pattern) == 0) return true;
  }
  return false;
}

/* ---------------------------------------------------------------- flags */

typedef struct {
  const char *names;
  int since, last; /* minor versions that know them */
} Flags;

/* Flags whose value may be left out (pflag's NoOptDefVal): they never swallow the next word. */
static const Flags bool_flags[] = {
    {"anonymous-auth authentication-token-webhook cgroups-per-qos contention-profiling cpu-cfs-quota "
     "enable-controller-attach-detach enable-debugging-handlers enable-load-reader enable-server "
     "exit-on-lock-contention experimental-allocatable-ignore-eviction fail-swap-on log-cadvisor-usage "
     "make-iptables-util-chains protect-kernel-defaults register-node rotate-certificates runonce "
     "serialize-image-pulls storage-driver-secure",
     0, 99},
    {"rotate-server-certificates", 7, 99},
    {"kernel-memcg-notification", 18, 99},
    {"seccomp-default", 22, 99},
    {"local-storage-capacity-isolation", 25, 99},
    {"log-json-split-stream log-text-split-stream", 24, 99},
    {"fail-cgroupv1", 31, 99},
    {"keep-terminated-pod-volumes", 0, 34},
    {"logtostderr alsologtostderr skip-headers skip-log-headers one-output add-dir-header", 0, 25},
    {"experimental-check-node-capabilities-before-mount experimental-kernel-memcg-notification", 0, 23},
    {"docker-only docker-tls", 0, 23},
    {"redirect-container-streaming", 9, 19},
    {"allow-privileged", 0, 14},
    {"docker-disable-shared-pid", 7, 11},
    {"enable-custom-metrics require-kubeconfig register-schedulable really-crash-for-testing", 0, 11},
};

static const Flags value_flags[] = {
    {"address authentication-token-webhook-cache-ttl authorization-mode authorization-webhook-cache-authorized-ttl "
     "authorization-webhook-cache-unauthorized-ttl boot-id-file bootstrap-kubeconfig cert-dir cgroup-driver "
     "cgroup-root client-ca-file cloud-provider cluster-dns cluster-domain config container-hints "
     "container-runtime-endpoint cpu-manager-policy cpu-manager-reconcile-period enforce-node-allocatable event-burst "
     "event-qps event-storage-age-limit event-storage-event-limit eviction-hard eviction-max-pod-grace-period "
     "eviction-minimum-reclaim eviction-pressure-transition-period eviction-soft eviction-soft-grace-period "
     "experimental-mounter-path feature-gates file-check-frequency global-housekeeping-interval hairpin-mode "
     "healthz-bind-address healthz-port hostname-override housekeeping-interval http-check-frequency "
     "image-gc-high-threshold image-gc-low-threshold image-service-endpoint kube-api-burst kube-api-content-type "
     "kube-api-qps kube-reserved kube-reserved-cgroup kubeconfig kubelet-cgroups lock-file log-flush-frequency "
     "machine-id-file manifest-url manifest-url-header max-open-files max-pods maximum-dead-containers "
     "maximum-dead-containers-per-container minimum-container-ttl-duration minimum-image-ttl-duration node-ip "
     "node-labels node-status-update-frequency oom-score-adj pod-cidr pod-manifest-path pods-per-core port "
     "provider-id read-only-port register-with-taints registry-burst registry-qps resolv-conf root-dir "
     "runtime-cgroups runtime-request-timeout storage-driver-buffer-duration storage-driver-db storage-driver-host "
     "storage-driver-password storage-driver-table storage-driver-user streaming-connection-idle-timeout "
     "sync-frequency system-cgroups system-reserved system-reserved-cgroup tls-cert-file tls-private-key-file v "
     "vmodule volume-plugin-dir volume-stats-agg-period max-housekeeping-interval application-metrics-count-limit",
     0, 99},
    {"allowed-unsafe-sysctls container-log-max-files container-log-max-size qos-reserved tls-cipher-suites "
     "tls-min-version",
     11, 99},
    {"cpu-cfs-quota-period node-status-max-images pod-max-pids", 12, 99},
    {"containerd containerd-namespace reserved-cpus", 13, 99},
    {"topology-manager-policy", 16, 99},
    {"logging-format", 19, 99},
    {"image-credential-provider-bin-dir image-credential-provider-config topology-manager-scope", 20, 99},
    {"memory-manager-policy reserved-memory", 21, 99},
    {"cpu-manager-policy-options", 22, 99},
    {"log-json-info-buffer-size log-text-info-buffer-size", 24, 99},
    {"topology-manager-policy-options", 26, 99},
    {"config-dir", 28, 99},
    {"pod-infra-container-image", 0, 34},
    {"cloud-config", 0, 30},
    {"azure-container-registry-config", 0, 29},
    {"container-runtime", 0, 26},
    {"master-service-namespace", 0, 26},
    {"log-dir log-file log-file-max-size log-backtrace-at stderrthreshold", 0, 25},
    {"dynamic-config-dir", 8, 23},
    {"network-plugin network-plugin-mtu cni-bin-dir cni-conf-dir cni-cache-dir docker docker-endpoint docker-root "
     "experimental-dockershim-root-directory image-pull-progress-deadline non-masquerade-cidr "
     "docker-env-metadata-whitelist",
     0, 23},
    {"seccomp-profile-root node-status-update-retry", 0, 18},
    {"cadvisor-port", 0, 11},
    {"host-ipc-sources host-network-sources host-pid-sources rkt-api-endpoint rkt-path", 0, 14},
    {"experimental-allowed-unsafe-sysctls", 4, 10},
    {"api-servers network-plugin-dir experimental-bootstrap-kubeconfig experimental-nvidia-gpus", 0, 9},
};

static bool known(const Flags *table, size_t rows, const char *name) {
  size_t n = strlen(name);
  for (size_t i = 0; i < rows; i++) {
    if (minor < table[i].since || minor > table[i].last) continue;
    for (const char *at = table[i].names; (at = strstr(at, name)); at += n)
      if ((at == table[i].names || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0)) return true;
  }
  return false;
}
#define KNOWN(table, name) known(table, sizeof(table) / sizeof *(table), name)

typedef struct {
  List allowed;
  bool allowed_set;
  const char *healthz_address, *healthz_port; /* NULL: not given */
  const char *protect_kernel_defaults;
  const char *config, *config_dir, *version;
  bool help;
  List words;
} CommandLine;

static _Noreturn void flag_error(const char *text) { command_failed(format("failed to parse kubelet flag: %s", text)); }

/* encoding/csv: the first record of value, appended to out; an error text otherwise. */
static char *read_csv(const char *value, List *out) {
  const char *s = value;
  if (!*s) return NULL;
  while (*s == '\n' || (*s == '\r' && s[1] == '\n')) s += *s == '\r' ? 2 : 1;
  if (!*s) return format("EOF");
  const char *start = s;
  for (;;) {
    char *field = must(malloc(strlen(s) + 1)), *o = field;
    if (*s != '"') {
      size_t n = strcspn(s, ",\n");
      const char *bare = memchr(s, '"', n);
      if (bare) return format("parse error on line 1, column %td: bare \" in non-quoted-field", bare - start + 1);
      memcpy(o, s, n);
      o += n;
      s += n;
      if (*s != ',' && o > field && o[-1] == '\r') o--;
    } else {
      for (s++;; s++) {
        if (!*s)
          return format("parse error on line 1, column %td: extraneous or missing \" in quoted-field", s - start + 1);
        if (*s != '"') *o++ = *s;
        else if (s[1] == '"') *o++ = *s++;
        else break;
      }
      s++;
      if (*s == '\r' && (s[1] == '\n' || !s[1])) s++;
      if (*s && *s != ',' && *s != '\n')
        return format("parse error on line 1, column %td: extraneous or missing \" in quoted-field", s - start);
    }
    *o = 0;
    push(out, field);
    if (*s != ',') return NULL;
    s++;
  }
}

static bool bool_text(const char *s, bool *value) {
  static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True", NULL};
  static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False", NULL};
  for (size_t i = 0; yes[i]; i++)
    if (strcmp(s, yes[i]) == 0) return *value = true;
  for (size_t i = 0; no[i]; i++)
    if (strcmp(s, no[i]) == 0) return *value = false, true;
  return false;
}

static bool int_text(const char *s) {
  char *end;
  errno = 0;
  long value = strtol(s, &end, 10);
  return *s && !*end && !errno && value >= -2147483648L && value <= 2147483647L;
}

static bool ip_text(const char *s) {
  unsigned char room[16];
  return inet_pton(AF_INET, s, room) == 1 || inet_pton(AF_INET6, s, room) == 1;
}

static void set_flag(CommandLine *line, const char *name, const char *value, bool is_bool) {
  char *why = NULL;
  bool unused;
  if (is_bool && !bool_text(value, &unused)) why = format("strconv.ParseBool: parsing %s: invalid syntax", quote(value));
  if (strcmp(name, "healthz-port") == 0) {
    if (!int_text(value)) why = format("strconv.ParseInt: parsing %s: invalid syntax", quote(value));
    line->healthz_port = value;
  } else if (strcmp(name, "healthz-bind-address") == 0) {
    if (!ip_text(value)) why = format("%s is not a valid IP address", quote(value));
    line->healthz_address = value;
  } else if (strcmp(name, "allowed-unsafe-sysctls") == 0 || strcmp(name, "experimental-allowed-unsafe-sysctls") == 0) {
    why = read_csv(value, &line->allowed);
    line->allowed_set = true;
    if (!why)
      fprintf(stderr, "Flag --%s has been deprecated, This parameter should be set via the config file specified by the "
                      "Kubelet's --config flag. See https://kubernetes.io/docs/tasks/administer-cluster/"
                      "kubelet-config-file/ for more information.\n", name);
  } else if (strcmp(name, "protect-kernel-defaults") == 0) {
    line->protect_kernel_defaults = value;
  } else if (strcmp(name, "config") == 0) {
    line->config = value;
  } else if (strcmp(name, "config-dir") == 0) {
    line->config_dir = value;
  } else if (strcmp(name, "version") == 0) {
    line->version = value;
  } else if (strcmp(name, "help") == 0) {
    line->help = true;
  } else if (strcmp(name, "v") == 0 && strspn(value, "0123456789") != strlen(value)) {
    flag_error(format("invalid argument %s for \"-v, --v\" flag: strconv.ParseUint: parsing %s: invalid syntax",
                      quote(value), quote(value)));
  }
  if (why) flag_error(format("invalid argument %s for \"--%s\" flag: %s", quote(value), name, why));
}

/* pflag.FlagSet.Parse with interspersed arguments and WordSepNormalizeFunc; exits at the first error, as it does. */
static CommandLine parse_command_line(char **args) {
  CommandLine line = {0};
  for (; *args; args++) {
    const char *word = *args;
    if (word[0] != '-' || word[1] == 0) {
      push(&line.words, word);
      continue;
    }
    if (word[1] != '-') {
      if (word[1] == 'h') {
        line.help = true;
        continue;
      }
      if (word[1] != 'v') flag_error(format("unknown shorthand flag: '%c' in %s", word[1], word));
      const char *value = word[2] == '=' ? word + 3 : word[2] ? word + 2 : *++args;
      if (!value) flag_error("flag needs an argument: 'v' in -v");
      set_flag(&line, "v", value, false);
      continue;
    }
    if (word[2] == 0) {
      while (*++args) push(&line.words, *args);
      break;
    }
    if (word[2] == '-' || word[2] == '=') flag_error(format("bad flag syntax: %s", word));
    size_t n = strcspn(word + 2, "=");
    char *typed = must(strndup(word + 2, n)), *name = must(strdup(typed));
    const char *value = word[2 + n] == '=' ? word + 3 + n : NULL;
    for (char *c = name; *c; c++)
      if (*c == '_') *c = '-';
    bool is_bool = KNOWN(bool_flags, name) || strcmp(name, "help") == 0, is_version = strcmp(name, "version") == 0;
    if (!is_bool && !is_version && !KNOWN(value_flags, name)) flag_error(format("unknown flag: --%s", typed));
    if (!value && (is_bool || is_version)) value = "true";
    if (!value) value = *++args;
    if (!value) flag_error(format("flag needs an argument: --%s", typed));
    set_flag(&line, name, value, is_bool);
  }
  return line;
}

/* ---------------------------------------------------------------- configuration files
 *
 * As much YAML as kubelet configurations hold: a block mapping at the margin, or JSON. The values of the keys that
 * matter may be scalars, flow lists or block lists; other nested values are skipped by their indentation.
 */

typedef struct {
  enum { ABSENT, PLAIN, QUOTED, SEQUENCE, MAPPING } kind;
  char *text;   /* of scalars */
  List items;   /* of sequences: texts */
  char badness; /* of sequences: 0, or 'n'umber, 'b'ool, 'o'bject, 'a'rray for the first item that is no string */
} Value;

typedef struct {
  Value api_version, kind, allowed, healthz_port, healthz_address, protect_kernel_defaults;
} Config;

typedef struct {
  const char *s, *start;
  const char *context; /* what an error is about, as a prefix */
} Cursor;

static _Noreturn void config_error(const Cursor *at, const char *why) { command_failed(format("%s%s", at->context, why)); }

static _Noreturn void yaml_error(const Cursor *at, const char *why) {
  int line = 1;
  for (const char *c = at->start; c < at->s; c++) line += *c == '\n';
  config_error(at, format("yaml: line %d: %s", line, why));
}

static void skip_flow_space(Cursor *at) {
  for (;;) {
    at->s += strspn(at->s, " \t\r\n");
    if (*at->s != '#') return;
    at->s += strcspn(at->s, "\n");
  }
}

static char *read_quoted(Cursor *at) {
  char end = *at->s++, *out = must(malloc(strlen(at->s) + 1)), *o = out;
  for (;; at->s++) {
    if (!*at->s) yaml_error(at, "found unexpected end of stream");
    if (*at->s == end && end == '\'' && at->s[1] == '\'') *o++ = *at->s++;
    else if (*at->s == end) break;
    else if (*at->s == '\\' && end == '"') {
      static const char from[] = "nt\\\"/", to[] = "\n\t\\\"/";
      const char *which = strchr(from, *++at->s);
      if (!*at->s || !which) yaml_error(at, "found unknown escape character");
      *o++ = to[which - from];
    } else *o++ = *at->s;
  }
  at->s++;
  *o = 0;
  return out;
}

/* Up to ": ", " #", the end of the line, and inside [] or {} up to , ] } */
static char *read_plain(Cursor *at, bool flow) {
  if (strchr("*&!|>%@`", *at->s)) yaml_error(at, "found character that cannot start any token");
  const char *start = at->s;
  for (; *at->s && *at->s != '\n'; at->s++) {
    if (flow && strchr(",[]{}", *at->s)) break;
    if (*at->s == ':' && (isspace((unsigned char)at->s[1]) || !at->s[1] || (flow && strchr(",]}", at->s[1])))) break;
    if (*at->s == '#' && at->s > start && isspace((unsigned char)at->s[-1])) break;
  }
  const char *end = at->s;
  while (end > start && isspace((unsigned char)end[-1])) end--;
  return must(strndup(start, (size_t)(end - start)));
}

static char type_of_plain(const char *s) {
  char *end;
  bool unused;
  if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) return 'b';
  if (strlen(s) > 1 && bool_text(s, &unused) && !isdigit((unsigned char)*s)) return 'b';
  (void)!strtod(s, &end);
  return *s && !*end && strcspn(s, "xXnN") == strlen(s) ? 'n' : 's';
}

static bool is_null(const char *s) { return !*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0; }

static void add_item(Value *sequence, const Value *item) {
  char bad = item->kind == SEQUENCE ? 'a' : item->kind == MAPPING ? 'o' : 0;
  if (item->kind == PLAIN && !is_null(item->text) && type_of_plain(item->text) != 's') bad = type_of_plain(item->text);
  if (bad && !sequence->badness) sequence->badness = bad;
  push(&sequence->items, bad || (item->kind == PLAIN && is_null(item->text)) ? "" : item->text);
}

static void keep(Config *config, const char *key, const Value *value) {
  if (strcmp(key, "apiVersion") == 0) config->api_version = *value;
  if (strcmp(key, "kind") == 0) config->kind = *value;
  if (strcmp(key, "allowedUnsafeSysctls") == 0) config->allowed = *value;
  if (strcmp(key, "healthzPort") == 0) config->healthz_port = *value;
  if (strcmp(key, "healthzBindAddress") == 0) config->healthz_address = *value;
  if (strcmp(key, "protectKernelDefaults") == 0) config->protect_kernel_defaults = *value;
}

static Value read_flow(Cursor *at, Config *config) {
  Value value = {.kind = ABSENT};
  skip_flow_space(at);
  if (*at->s == '"' || *at->s == '\'') {
    value.kind = QUOTED;
    value.text = read_quoted(at);
  } else if (*at->s == '[' || *at->s == '{') {
    char end = *at->s == '[' ? ']' : '}';
    value.kind = *at->s++ == '[' ? SEQUENCE : MAPPING;
    for (skip_flow_space(at); *at->s != end; skip_flow_space(at)) {
      if (!*at->s) yaml_error(at, "did not find expected ',' or ']'");
      Value item = read_flow(at, NULL);
      skip_flow_space(at);
      if (value.kind == MAPPING) {
        if (*at->s++ != ':' || !item.text) yaml_error(at, "did not find expected ',' or '}'");
        char *key = item.text;
        item = read_flow(at, NULL);
        if (config) keep(config, key, &item);
      } else {
        if (*at->s == ':') { /* a single pair, [a: b] */
          at->s++;
          read_flow(at, NULL);
          item.kind = MAPPING;
        }
        add_item(&value, &item);
      }
      skip_flow_space(at);
      if (*at->s == ',') at->s++;
      else if (*at->s != end) yaml_error(at, "did not find expected ',' or ']'");
    }
    at->s++;
  } else {
    value.kind = PLAIN;
    value.text = read_plain(at, true);
  }
  return value;
}

/* After a value nothing but a comment may follow on the line. */
static void end_line(Cursor *at) {
  at->s += strspn(at->s, " \t\r");
  if (*at->s == '#') at->s += strcspn(at->s, "\n");
  if (*at->s && *at->s != '\n') yaml_error(at, *at->s == ':' ? "mapping values are not allowed in this context" : "did not find expected key");
  if (*at->s) at->s++;
}

static bool blank_or_comment(const char *line) {
  line += strspn(line, " \t\r");
  return !*line || *line == '\n' || *line == '#';
}

static const char *next_line(const char *s) {
  s += strcspn(s, "\n");
  return *s ? s + 1 : s;
}

static bool is_dash(const char *s) { return *s == '-' && (!s[1] || isspace((unsigned char)s[1])); }

/* The value of a key at the margin whose own line held nothing more. */
static Value read_block(Cursor *at) {
  Value value = {.kind = PLAIN, .text = ""};
  while (*at->s && blank_or_comment(at->s)) at->s = next_line(at->s);
  size_t indent = strspn(at->s, " ");
  if (at->s[indent] == '\t') yaml_error(at, "found character that cannot start any token");
  if (!is_dash(at->s + indent)) {
    if (!indent) return value;
    value.kind = MAPPING;
    while (*at->s && (*at->s == ' ' || blank_or_comment(at->s))) at->s = next_line(at->s);
    return value;
  }
  value.kind = SEQUENCE;
  while (*at->s) {
    if (blank_or_comment(at->s)) {
      at->s = next_line(at->s);
      continue;
    }
    size_t here = strspn(at->s, " ");
    if (here < indent || (here == 0 && !is_dash(at->s))) break;
    if (here > indent || !is_dash(at->s + here)) yaml_error(at, "did not find expected '-' indicator");
    at->s += here + 1;
    at->s += strspn(at->s, " ");
    Value item = {.kind = PLAIN, .text = ""};
    if (*at->s == '[' || *at->s == '{' || *at->s == '"' || *at->s == '\'') item = read_flow(at, NULL);
    else if (!blank_or_comment(at->s)) item.text = read_plain(at, false);
    if (*at->s == ':') { /* - key: value, and its indented continuation */
      item.kind = MAPPING;
      at->s = next_line(at->s);
      while (*at->s && (strspn(at->s, " ") > indent || blank_or_comment(at->s))) at->s = next_line(at->s);
    } else {
      end_line(at);
    }
    add_item(&value, &item);
  }
  return value;
}

static Config parse_config(const char *text, const char *context) {
  Config config = {0};
  Cursor at = {text, text, context};
  bool seen_document = false;
  while (*at.s) {
    if (blank_or_comment(at.s) || *at.s == '%') {
      at.s = next_line(at.s);
      continue;
    }
    if (has_prefix(at.s, "---")) {
      if (seen_document) break;
      at.s = next_line(at.s);
      continue;
    }
    if (has_prefix(at.s, "...")) break;
    seen_document = true;
    if (*at.s == '{') {
      read_flow(&at, &config);
      continue;
    }
    if (isspace((unsigned char)*at.s)) yaml_error(&at, "did not find expected key");
    char *key = *at.s == '"' || *at.s == '\'' ? read_quoted(&at) : read_plain(&at, false);
    at.s += strspn(at.s, " ");
    if (*at.s != ':') yaml_error(&at, "could not find expected ':'");
    at.s++;
    at.s += strspn(at.s, " \t");
    Value value = {.kind = PLAIN, .text = ""};
    if (blank_or_comment(at.s)) {
      at.s = next_line(at.s);
      value = read_block(&at);
    } else if (*at.s == '|' || *at.s == '>') {
      at.s = next_line(at.s);
      while (*at.s && (*at.s == ' ' || blank_or_comment(at.s))) at.s = next_line(at.s);
    } else {
      if (strchr("[{\"'", *at.s)) value = read_flow(&at, NULL);
      else value.text = read_plain(&at, false);
      end_line(&at);
    }
    keep(&config, key, &value);
  }
  return config;
}

/* The kubelet's decoder: kind and version are wanted, and the types must fit. */
static void check_config(const Config *config, const char *text, const char *context) {
  Cursor at = {text, text, context};
  if (!config->kind.text || is_null(config->kind.text))
    config_error(&at, format("Object 'Kind' is missing in '%s'", text));
  if (!config->api_version.text || is_null(config->api_version.text))
    config_error(&at, format("Object 'apiVersion' is missing in '%s'", text));
  if (strcmp(config->api_version.text, "kubelet.config.k8s.io/v1beta1") != 0 ||
      strcmp(config->kind.text, "KubeletConfiguration") != 0)
    config_error(&at, format("no kind %s is registered for version %s in scheme \"k8s.io/kubernetes/pkg/kubelet/apis/"
                             "config/scheme/scheme.go:33\"", quote(config->kind.text), quote(config->api_version.text)));
  const Value *list = &config->allowed;
  const char *field = "Go struct field KubeletConfiguration";
  if (list->kind == MAPPING) config_error(&at, format("json: cannot unmarshal object into %s.allowedUnsafeSysctls of type []string", field));
  if (list->kind == QUOTED || (list->kind == PLAIN && !is_null(list->text)))
    config_error(&at, format("json: cannot unmarshal %s into %s.allowedUnsafeSysctls of type []string",
                             list->kind == QUOTED || type_of_plain(list->text) == 's' ? "string" : type_of_plain(list->text) == 'n' ? "number" : "bool", field));
  if (list->badness)
    config_error(&at, format("json: cannot unmarshal %s into %s.allowedUnsafeSysctls of type string",
                             list->badness == 'n' ? "number" : list->badness == 'b' ? "bool" : list->badness == 'o' ? "object" : "array", field));
  const Value *port = &config->healthz_port;
  if (port->kind == QUOTED || (port->kind == PLAIN && !is_null(port->text) && !int_text(port->text)))
    config_error(&at, format("json: cannot unmarshal string into %s.healthzPort of type int32", field));
  const Value *protect = &config->protect_kernel_defaults;
  if (protect->kind == QUOTED || (protect->kind == PLAIN && !is_null(protect->text) && type_of_plain(protect->text) != 'b'))
    config_error(&at, format("json: cannot unmarshal string into %s.protectKernelDefaults of type bool", field));
}

/* JSON merge patch: what is given replaces, lists whole. */
static void merge_config(Config *into, const Config *from) {
  if (from->allowed.kind == SEQUENCE) into->allowed = from->allowed;
  if (from->healthz_port.text && !is_null(from->healthz_port.text)) into->healthz_port = from->healthz_port;
  if (from->healthz_address.text && !is_null(from->healthz_address.text)) into->healthz_address = from->healthz_address;
  if (from->protect_kernel_defaults.text && !is_null(from->protect_kernel_defaults.text))
    into->protect_kernel_defaults = from->protect_kernel_defaults;
}

static void load_config_file(Config *into, const char *path) {
  const char *context = format("failed to load kubelet config file, path: %s, error: failed to load Kubelet config file %s, error ", path, path);
  char *text = slurp(path);
  if (!text) command_failed(format("%sfailed to read kubelet config file %s, error: open %s: %s", context, quote(path), path, go_error(errno)));
  if (!*text) command_failed(format("%skubelet config file %s was empty", context, quote(path)));
  context = format("%sfailed to decode: ", context);
  Config config = parse_config(text, context);
  check_config(&config, text, context);
  merge_config(into, &config);
}

static void load_config_directory(Config *into, const char *directory) {
  struct dirent **entries;
  const char *walk = format("failed to merge kubelet configs: failed to walk through kubelet dropin directory %s: ", quote(directory));
  int n = scandir(directory, &entries, NULL, alphasort);
  if (n < 0) command_failed(format("%slstat %s: %s", walk, directory, go_error(errno)));
  for (int i = 0; i < n; i++) {
    const char *name = entries[i]->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    char *path = format("%s/%s", directory, name);
    struct stat st;
    size_t length = strlen(name);
    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
      load_config_directory(into, path);
    } else if (length > 5 && strcmp(name + length - 5, ".conf") == 0) {
      const char *context = format("%sfailed to load kubelet dropin file, path: %s, error: ", walk, path);
      char *text = slurp(path);
      if (!text) command_failed(format("%sfailed to read kubelet config file %s, error: open %s: %s", context, quote(path), path, go_error(errno)));
      Config config = parse_config(text, context);
      check_config(&config, text, context);
      merge_config(into, &config);
    }
  }
}

/* ---------------------------------------------------------------- faults */

typedef struct {
  bool exit_at_once, hang, healthz_500, never_ready;
  double exit_after, slow_start; /* seconds; 0: no */
} Faults;

static long count_start(void) {
  char *text = slurp(RUN_DIR "/starts");
  long n = (text ? strtol(text, NULL, 10) : 0) + 1;
  FILE *f = fopen(RUN_DIR "/starts", "we");
  if (f) {
    fprintf(f, "%ld\n", n);
    fclose(f);
  }
  return n;
}

/*
 * One fault a line; `with-flag:` before it: only while the allowlist is not empty.
 *   exit-at-once | exit-after-seconds N | exit-on-start-number N (counted since boot) | flap (exit after 1 s)
 *   hang-without-healthz (lives, port closed) | healthz-500 | never-ready | slow-start-seconds N
 */
static Faults load_faults(bool list_given, long start_number) {
  Faults faults = {0};
  char *text = slurp("/etc/standin-kubelet.faults");
  for (char *save = NULL, *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
    line += strspn(line, " \t");
    if (!*line || *line == '#') continue;
    char word[64];
    double number = 0;
    bool wanted = true;
    if (has_prefix(line, "with-flag:")) {
      wanted = list_given;
      line += strlen("with-flag:");
    }
    int fields = sscanf(line, " %63s %lf", word, &number);
    bool numbered = strcmp(word, "exit-after-seconds") == 0 || strcmp(word, "slow-start-seconds") == 0 ||
                    strcmp(word, "exit-on-start-number") == 0;
    if (fields < 1 || numbered != (fields == 2)) word[0] = 0;
    if (strcmp(word, "exit-at-once") == 0) faults.exit_at_once |= wanted;
    else if (strcmp(word, "hang-without-healthz") == 0) faults.hang |= wanted;
    else if (strcmp(word, "healthz-500") == 0) faults.healthz_500 |= wanted;
    else if (strcmp(word, "never-ready") == 0) faults.never_ready |= wanted;
    else if (strcmp(word, "flap") == 0) faults.exit_after = wanted ? 1 : faults.exit_after;
    else if (strcmp(word, "exit-after-seconds") == 0) faults.exit_after = wanted ? number : faults.exit_after;
    else if (strcmp(word, "slow-start-seconds") == 0) faults.slow_start = wanted ? number : faults.slow_start;
    else if (strcmp(word, "exit-on-start-number") == 0) faults.exit_at_once |= wanted && start_number == (long)number;
    else {
      fprintf(stderr, "stand-in kubelet: unknown fault %s\n", quote(line));
      exit(70);
    }
  }
  return faults;
}

/* ---------------------------------------------------------------- running */

static void write_run_file(const char *name, const char *text) {
  char *path = format(RUN_DIR "/%s", name), *temporary = format("%s.new", path);
  FILE *f = fopen(temporary, "we");
  if (!f) return; /* run by hand without /run: nobody asks */
  fputs(text, f);
  fclose(f);
  rename(temporary, path);
}

static void notify(const char *message) {
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (!path || !*path || strlen(path) >= sizeof address.sun_path) return;
  memcpy(address.sun_path, path, strlen(path));
  if (*path == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address,
         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
  close(fd);
}

static int listen_on(const char *address, int port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
  bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
  if (!is_v4) inet_pton(AF_INET6, address, &v6.sin6_addr);
  int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const struct sockaddr *name = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
  if (bind(fd, name, is_v4 ? sizeof v4 : sizeof v6) == 0 && listen(fd, 64) == 0) return fd;
  klog('E', "server.go:1", format("\"Failed to start healthz server\" err=\"listen tcp %s:%d: %s\"", address, port, go_error(errno)));
  close(fd);
  return -1;
}

static void answer(int listener, bool broken) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  struct timeval patience = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char request[4096];
  size_t n = 0;
  ssize_t got;
  while (n < sizeof request - 1 && (got = recv(fd, request + n, sizeof request - 1 - n, 0)) > 0) {
    n += (size_t)got;
    request[n] = 0;
    if (strstr(request, "\r\n\r\n")) break;
  }
  request[n] = 0;
  bool known_path = has_prefix(request, "GET /healthz ") || has_prefix(request, "GET /healthz?");
  const char *status = !known_path ? "404 Not Found" : broken ? "500 Internal Server Error" : "200 OK";
  const char *body = !known_path ? "404 page not found\n" : broken ? "healthz check failed\n" : "ok";
  char *response = format("HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n"
                          "Content-Length: %zu\r\nConnection: close\r\n\r\n%s", status, strlen(body), body);
  send(fd, response, strlen(response), MSG_NOSIGNAL);
  free(response);
  close(fd);
}

static double now_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void serve(const char *address, int port, const Faults *faults) {
  double end = faults->exit_after > 0 ? now_seconds() + faults->exit_after : 0;
  const char *watchdog = getenv("WATCHDOG_USEC");
  double beat = minor >= 32 && watchdog ? strtod(watchdog, NULL) / 2e6 : 0, next_beat = now_seconds() + beat;
  int listener = -1;
  double next_listen = now_seconds();
  for (;;) {
    double now = now_seconds(), wake = now + 3600;
    if (end && now >= end) {
      klog('E', "kubelet.go:1", "\"Stand-in kubelet exits as told\"");
      exit(1);
    }
    if (beat && now >= next_beat) {
      notify("WATCHDOG=1");
      next_beat = now + beat;
    }
    if (listener < 0 && port > 0 && now >= next_listen) {
      listener = listen_on(address, port);
      next_listen = now + 5; /* the kubelet's own interval */
    }
    if (end && end < wake) wake = end;
    if (beat && next_beat < wake) wake = next_beat;
    if (listener < 0 && port > 0 && next_listen < wake) wake = next_listen;
    struct pollfd poller = {.fd = listener, .events = POLLIN};
    if (poll(&poller, 1, (int)((wake - now) * 1000) + 1) > 0) answer(listener, faults->healthz_500);
  }
}

static void check_kernel_defaults(void) {
  static const struct {
    const char *name;
    long wanted;
  } defaults[] = {{"vm/overcommit_memory", 1}, {"vm/panic_on_oom", 0}, {"kernel/panic", 10}, {"kernel/panic_on_oops", 1},
                  {"kernel/keys/root_maxkeys", 1000000}, {"kernel/keys/root_maxbytes", 25000000}};
  char *errors = format("");
  int n = 0;
  for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
    char *text = slurp(format("/proc/sys/%s", defaults[i].name));
    long value = text ? strtol(text, NULL, 10) : -1;
    if (value != defaults[i].wanted)
      errors = format("%s%sinvalid kernel flag: %s, expected value: %ld, actual value: %ld", errors, n++ ? ", " : "",
                      defaults[i].name, defaults[i].wanted, value);
  }
  if (!n) return;
  klog('E', "kubelet.go:1", format("\"Failed to start ContainerManager\" err=%s", quote(n > 1 ? format("[%s]", errors) : errors)));
  exit(1);
}

/* A kubelet that is asked to end ends at once, whatever it is doing. */
static void on_term(int number) {
  (void)number;
  _exit(0);
}

static _Noreturn void run_kubelet(const CommandLine *line) {
  Config config = {0};
  if (line->config_dir && minor < 30 && !getenv("KUBELET_CONFIG_DROPIN_DIR_ALPHA"))
    command_failed("flag config-dir specified but environment variable KUBELET_CONFIG_DROPIN_DIR_ALPHA not set, cannot start kubelet");
  if (line->config && *line->config) load_config_file(&config, line->config);
  if (line->config_dir && *line->config_dir) load_config_directory(&config, line->config_dir);

  List allowed = line->allowed_set ? line->allowed : config.allowed.items;
  const char *address = line->healthz_address ? line->healthz_address
                        : config.healthz_address.text && *config.healthz_address.text ? config.healthz_address.text : "127.0.0.1";
  const char *port = line->healthz_port ? line->healthz_port
                     : config.healthz_port.text && !is_null(config.healthz_port.text) ? config.healthz_port.text : "10248";
  bool protect = false;
  const char *protect_text = line->protect_kernel_defaults ? line->protect_kernel_defaults : config.protect_kernel_defaults.text;
  if (protect_text) bool_text(protect_text, &protect);

  mkdir(RUN_DIR, 0755);
  Faults faults = load_faults(allowed.n > 0, count_start());
  if (faults.exit_at_once) {
    klog('E', "kubelet.go:1", "\"Stand-in kubelet exits as told\"");
    exit(1);
  }
  sleep_seconds(START_SECONDS + faults.slow_start);
  for (size_t i = 0; i < allowed.n; i++) {
    char *why = entry_error(allowed.v[i]);
    if (!why) continue;
    sleep_seconds(REFUSAL_SECONDS - START_SECONDS);
    command_failed(format("failed to run Kubelet: failed to create kubelet: %s", why));
  }
  if (protect) check_kernel_defaults();

  char *lines = format(""), *shown = format("");
  for (size_t i = 0; i < allowed.n; i++) {
    lines = format("%s%s\n", lines, allowed.v[i]);
    shown = format("%s%s%s", shown, i ? "," : "", quote(allowed.v[i]));
  }
  write_run_file("allowed", lines);
  write_run_file("version", format("%s\n", version_text));
  write_run_file("pid", format("%d\n", getpid()));
  klog('I', "server.go:1", format("\"Started kubelet\" version=%s allowedUnsafeSysctls=[%s]", quote(version_text), shown));
  if (!faults.never_ready) notify("READY=1");
  serve(address, faults.hang ? 0 : atoi(port), &faults);
}

/* ---------------------------------------------------------------- the client */

static int admit(char **sysctls) {
  char *pid = slurp(RUN_DIR "/pid"), *allowed = slurp(RUN_DIR "/allowed"), *version = slurp(RUN_DIR "/version");
  if (!pid || !allowed || !version || kill(atoi(pid), 0) < 0) {
    fprintf(stderr, "stand-in kubelet: none is running here\n");
    return 2;
  }
  version[strcspn(version, "\n")] = 0;
  set_version(version);
  List list = safe_sysctls();
  for (char *save = NULL, *s = strtok_r(allowed, "\n", &save); s; s = strtok_r(NULL, "\n", &save)) push(&list, s);
  for (; *sysctls; sysctls++) {
    char *name = normal_name(must(strndup(*sysctls, strcspn(*sysctls, "="))));
    if (list_admits(list, name)) continue;
    printf("Pod %sforbidden sysctl: %s not %s\nSysctlForbidden\n", minor >= 24 ? "was rejected: " : "", quote(name),
           minor >= 22 ? "allowlisted" : "whitelisted");
    return 1;
  }
  printf("Running\n");
  return 0;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

int main(int argc, char **argv) {
  setvbuf(stderr, NULL, _IOLBF, 0);
  signal(SIGTERM, on_term);
  signal(SIGINT, on_term);
  signal(SIGPIPE, SIG_IGN);
  load_version();
  char **args = argv + (argc > 0);
  /* hyperkube: one binary for all components, the first word says which. */
  const char *called = argc > 0 ? base_name(argv[0]) : "kubelet";
  bool hyperkube = strcmp(called, "hyperkube") == 0;
  if (*args && strcmp(*args, "kubelet") == 0 && strcmp(called, "kubelet") != 0) args++;
  else if (hyperkube && (!*args || !has_prefix(*args, "--version"))) {
    fprintf(stderr, "Usage:\n  hyperkube kubelet [flags]\n");
    return 1;
  }
  if (*args && strcmp(*args, "--standin-admit") == 0) return admit(args + 1);

  CommandLine line = parse_command_line(args);
  if (line.words.n) command_failed(format("unknown command %s", line.words.v[0]));
  if (line.help) {
    printf("The kubelet is the primary \"node agent\" that runs on each node. (This one is a stand-in for tests.)\n");
    return 0;
  }
  if (line.version && strcmp(line.version, "false") != 0) {
    printf("Kubernetes %s\n", version_text);
    return 0;
  }
  run_kubelet(&line);
}
