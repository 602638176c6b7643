/** A Markdown table that is printed when it is full. */
export class Table {
  private readonly rows: string[][] = [];
  private readonly head: readonly string[];

  constructor(head: readonly string[]) {
    this.head = head;
  }

  row(...cells: readonly (string | number)[]): void {
    this.rows.push(cells.map(String));
  }

  print(title: string): void {
    const lines = [this.head, this.head.map(() => '---'), ...this.rows].map(
      (cells) => `| ${cells.join(' | ')} |`,
    );
    process.stdout.write(`\n### ${title}\n\n${lines.join('\n')}\n`);
  }
}
