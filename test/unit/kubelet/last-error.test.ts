import { test } from 'tap';
import { lastError } from '../../../agent/kubelet/last-error.ts';

const deprecated =
  "Flag --allowed-unsafe-sysctls has been deprecated, This parameter should be set via the config file specified by the Kubelet's --config flag.";

const cases: readonly [title: string, lines: readonly string[], said: string | undefined][] = [
  ['nothing was said', [], undefined],
  ['only blank lines', ['', '   '], undefined],
  [
    'the last error of klog, without its header',
    [
      'E1123 12:58:14.000000   26949 kubelet.go:1] "an earlier one"',
      deprecated,
      'E1123 12:58:15.052508   27012 run.go:72] "command failed" err="failed to parse kubelet flag: unknown flag: --nosuch"',
      'I1123 12:58:15.100000   27012 server.go:1] "Shutting down"',
    ],
    '"command failed" err="failed to parse kubelet flag: unknown flag: --nosuch"',
  ],
  [
    'a fatal line of an old kubelet, before its help',
    [
      'F0307 10:00:00.000001       7 server.go:198] failed to validate kubelet flags',
      'Usage:',
      '  kubelet [flags]',
      '',
      'Flags:',
      '      --address ip   The IP address',
    ],
    'failed to validate kubelet flags',
  ],
  [
    'a value of several lines',
    [
      'E1123 12:58:15.052508   27012 run.go:72] "command failed" err=<',
      '\tfailed to validate kubelet configuration',
      '\tthe sysctl is not known',
      ' >',
    ],
    '"command failed" err=< failed to validate kubelet configuration the sysctl is not known >',
  ],
  [
    'an error in JSON, where information has a verbosity',
    [
      '{"ts":1,"caller":"a.go:1","msg":"Starting","v":0}',
      '{"ts":2,"caller":"cli/run.go:72","msg":"command failed","err":"no such file"}',
      '{"ts":3,"caller":"a.go:2","msg":"retrying","v":2,"err":"later"}',
      '{"ts":4, cut',
    ],
    'command failed: no such file',
  ],
  ['an error of cobra', ['Error: unknown command "x"', "See 'kubelet --help'"], 'Error: unknown command "x"'],
  [
    'a panic before its stack',
    ['panic: runtime error: index out of range', '', 'goroutine 1 [running]:', '\tmain.go:3'],
    'panic: runtime error: index out of range',
  ],
  ['the last plain words of a wrapper', ['starting', deprecated, 'no kubelet for you'], 'no kubelet for you'],
  ['notices alone say nothing', [deprecated, 'I1123 12:58:15.1 7 server.go:1] "Started"'], undefined],
  [
    'what would steer a terminal, or hide in a page, is gone',
    ['Error: \u001b[31mred\u001b[0m\u202e and\ttabs'],
    'Error: [31mred [0m and tabs',
  ],
  ['something endless is cut', [`Error: ${'x'.repeat(1000)}`], `Error: ${'x'.repeat(292)}…`],
];

for (const [title, lines, said] of cases) {
  void test(title, async (t) => {
    t.equal(lastError(lines), said);
  });
}
