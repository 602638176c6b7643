export interface AfterScrapes {
  /** Fewer scrapes leave too little behind to be worth it. */
  readonly most: number;
  /** Milliseconds without a scrape: in the middle of a storm nobody tidies. */
  readonly quietMs: number;
}

/** Tells when a good many scrapes were followed by silence; call the answer after each scrape. */
export function afterScrapes(tidy: () => void, { most, quietMs }: AfterScrapes): () => void {
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  return () => {
    count += 1;
    if (count < most) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      count = 0;
      tidy();
    }, quietMs);
    timer.unref();
  };
}
