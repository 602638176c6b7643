import t from 'tap';
import { staleFiles } from '../../../scripts/generate.ts';

void t.test('the CRD and the field table are what the schema generates', async (t) => {
  t.strictSame(await staleFiles(), []);
});
