// A gateway in a hundred lines: it asks Tollkeep before each call, calls a model (here a fake one), and
// reports what the call used. It neither loses nor doubles a cent when Tollkeep, or it itself, is
// restarted in the middle: what is to be reported is in a journal first, and every request may be sent
// again, because it carries the name of its call. Node 20 or newer; no packages.
//
//   URL=http://127.0.0.1:4000 GATEWAY_KEY=sk-tkg_… CLIENT_KEY=sk-tku_… node gateway.mjs journal 100

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [journal, count] = [process.argv[2], Number(process.argv[3])];
const { URL: url, GATEWAY_KEY: gatewayKey, CLIENT_KEY: credential } = process.env;
if (!journal || !(count > 0) || !url || !gatewayKey || !credential) {
  console.error('usage: URL=… GATEWAY_KEY=… CLIENT_KEY=… node gateway.mjs JOURNAL COUNT');
  process.exit(2);
}

/** Sends a request until there is an answer that says something about it. */
async function send(path, body) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    try {
      const headers = { authorization: `Bearer ${gatewayKey}`, 'content-type': 'application/json' };
      const request = { method: 'POST', headers, body: JSON.stringify(body), signal: AbortSignal.timeout(5_000) };
      const response = await fetch(new URL(path, url), request);
      if (response.status < 500) return { status: response.status, body: await response.json() };
    } catch {
      // Nobody knows what became of it: it is sent again under the same name.
    }
    await sleep(50 + 100 * Math.random());
  }
  throw new Error(`${path}: no answer`);
}

/** Asks whether a call may be made, and holds what it will cost; null for a call that may not. */
async function admit(requestId) {
  const estimate = { costUsd: '0.002', inputTokens: 400, maxOutputTokens: 400 };
  const question = { credential, model: 'gpt-4o', mode: 'reserve', requestId, estimate };
  const { status, body } = await send('/v1/check', question);
  if (status === 200) return { apiKeyId: body.principal.keyId, model: body.model.resolved };
  // 409: the call was made and reported before this program was started again.
  if ([403, 409, 429].includes(status)) return null;
  throw new Error(`${requestId}: ${status} ${body.error?.message ?? ''}`);
}

/** The model: what it takes and costs depends on the call alone. */
async function callModel(number) {
  await sleep(2);
  return { inputTokens: 100 + number, outputTokens: 50, cost: `0.00${(1000 + number).toString()}` };
}

/** The calls that are noted in the journal and were not reported. It is written anew without the others. */
function open() {
  const events = new Map();
  for (const line of existsSync(journal) ? readFileSync(journal, 'utf8').split('\n') : []) {
    if (!line.endsWith('}')) continue; // The last one, if a crash cut it off: it was not acted upon.
    const event = JSON.parse(line);
    if (event.reported) event.reported.forEach((id) => events.delete(id));
    else events.set(event.requestId, event);
  }
  // At every moment there is a whole journal: the old one, then the new one.
  write(`${journal}.new`, 'w', [...events.values()]);
  renameSync(`${journal}.new`, journal);
  return events;
}

/** Writes entries, a line for each, and returns when they are on the disk. */
function write(path, flags, entries) {
  const file = openSync(path, flags);
  writeFileSync(file, entries.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
  fsyncSync(file);
  closeSync(file);
}

/** Reports what is noted. `DUPLICATE` says that an earlier attempt had arrived. */
async function report(events) {
  const { status, body } = await send('/v1/usage', { events: [...events.values()].slice(0, 500) });
  if (status !== 200) throw new Error(`usage: ${status} ${body.error?.message ?? ''}`);
  const failed = body.verdicts.find(({ code }) => code !== 'RECORDED' && code !== 'DUPLICATE');
  if (failed) throw new Error(`usage: ${JSON.stringify(failed)}`);
  const reported = body.verdicts.map(({ requestId }) => requestId);
  write(journal, 'a', [{ reported }]);
  reported.forEach((requestId) => events.delete(requestId));
}

const waiting = open();
while (waiting.size > 0) await report(waiting);
let [made, nanos] = [0, 0n];
for (let number = 0; number < count; number += 1) {
  const requestId = `${journal.split('/').pop()}-${number}`;
  const admitted = await admit(requestId);
  if (!admitted) continue;
  const event = { requestId, ...admitted, ...(await callModel(number)) };
  write(journal, 'a', [event]);
  waiting.set(requestId, event);
  [made, nanos] = [made + 1, nanos + BigInt(event.cost.slice(2).padEnd(9, '0'))];
  if (waiting.size >= 20) await report(waiting);
}
if (waiting.size > 0) await report(waiting);
const spent = `${nanos / 10n ** 9n}.${(nanos % 10n ** 9n).toString().padStart(9, '0')}`;
console.log(`made ${made} refused ${count - made} spent ${spent}`);
