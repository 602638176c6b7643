import { mock } from 'node:test';
import { test } from 'tap';
import { afterScrapes } from '../../../agent/metrics/after-scrapes.ts';

void test('a good many scrapes and then silence are told, once', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.teardown(() => {
    mock.timers.reset();
  });
  let tidied = 0;
  const scraped = afterScrapes(() => (tidied += 1), { most: 3, quietMs: 1_000 });
  const scrape = (times: number): void => {
    for (let one = 0; one < times; one += 1) scraped();
  };
  scrape(2);
  mock.timers.tick(60_000);
  t.equal(tidied, 0, 'two are not many');
  scrape(1);
  mock.timers.tick(999);
  t.equal(tidied, 0);
  scrape(1);
  mock.timers.tick(999);
  t.equal(tidied, 0, 'another one came: no silence yet');
  mock.timers.tick(1);
  t.equal(tidied, 1);
  mock.timers.tick(60_000);
  scrape(2);
  mock.timers.tick(60_000);
  t.equal(tidied, 1, 'counted anew');
  scrape(1);
  mock.timers.tick(1_000);
  t.equal(tidied, 2);
});
