// Runs the GraphQL over HTTP server audits of the npm package graphql-http.
//
//   TOLLKEEP_KEY=... node audits.mjs http://127.0.0.1:8080/graphql
//
// Exit code 0: all 61 audits pass. 1: an audit fails, or the suite does not hold
// exactly these 61 audits. 2: the check cannot run.

import { readFile } from 'node:fs/promises';

const EXPECTED = { MUST: 13, SHOULD: 23, MAY: 25 };
const TOTAL = 61;
const TIMEOUT_MS = 10_000;
const MAX_UNANSWERED = 3;

class CannotRun extends Error {}

class Unanswered extends Error {}

async function loadAudits() {
  const readJson = async (path) => JSON.parse(await readFile(new URL(path, import.meta.url), 'utf8'));
  const wanted = (await readJson('./package.json')).dependencies;
  for (const [name, version] of Object.entries(wanted)) {
    let found;
    try {
      found = (await readJson(`./node_modules/${name}/package.json`)).version;
    } catch {
      throw new CannotRun(`node_modules has no ${name}: run "npm ci" in the folder of audits.mjs first.`);
    }
    if (found !== version) {
      throw new CannotRun(`node_modules has ${name} ${found}, package.json wants ${version}: run "npm ci" first.`);
    }
  }
  try {
    return (await import('graphql-http')).serverAudits;
  } catch (err) {
    throw new CannotRun(`graphql-http does not load (${err.code ?? err.message}): run "npm ci" first.`);
  }
}

function readUrl(args) {
  if (args.length !== 1) {
    throw new CannotRun('Usage: TOLLKEEP_KEY=... node audits.mjs URL');
  }
  const url = URL.canParse(args[0]) ? new URL(args[0]) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.password) {
    throw new CannotRun('The argument must be an http or https URL without a user name or password.');
  }
  return url.href;
}

function readKey() {
  const key = process.env.TOLLKEEP_KEY;
  if (!key) {
    throw new CannotRun('The environment variable TOLLKEEP_KEY must hold the bearer key.');
  }
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new CannotRun('TOLLKEEP_KEY holds a character that an Authorization header cannot carry.');
  }
  return key;
}

// fetch with the key, a time-out that covers the body too, and no redirects: the key
// goes to the given URL only. The body is read in full, so that the connection is free
// for the next audit even when the audit looks at the status alone.
function authorizedFetch(key) {
  return async (input, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${key}`);
    let res, body;
    try {
      res = await fetch(input, {
        ...init,
        headers,
        redirect: 'manual',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      body = await res.arrayBuffer();
    } catch (err) {
      throw new Unanswered(
        err.name === 'TimeoutError'
          ? `no complete answer within ${TIMEOUT_MS / 1000} s`
          : `no answer (${err.cause?.code || err.cause?.message || err.message})`,
      );
    }
    return new Response([204, 205, 304].includes(res.status) ? null : body, {
      status: res.status,
      statusText: res.statusText,
      headers: res.headers,
    });
  };
}

async function probe(url, fetchFn) {
  let res;
  try {
    res = await fetchFn(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify({ query: '{ __typename }' }),
    });
  } catch (err) {
    throw new CannotRun(`${url} does not answer: ${err.message}.`);
  }
  if (res.status === 401 || res.status === 403) {
    throw new CannotRun(`${url} refuses the key in TOLLKEEP_KEY with status ${res.status}.`);
  }
}

async function runOne(audit) {
  try {
    const { status, reason, response } = await audit.fn();
    if (status === 'ok') {
      return { ok: true };
    }
    const type = response?.headers.get('content-type') ?? 'no content-type';
    return { ok: false, reason: response ? `${reason} (answer: ${response.status}, ${type})` : reason };
  } catch (err) {
    return { ok: false, reason: err.message, unanswered: err instanceof Unanswered };
  }
}

const oneLine = (text) => String(text).replace(/\s+/g, ' ').trim();

async function main() {
  const url = readUrl(process.argv.slice(2));
  const key = readKey();
  const serverAudits = await loadAudits();
  const fetchFn = authorizedFetch(key);
  await probe(url, fetchFn);

  const audits = serverAudits({ url, fetchFn });
  const found = { MUST: 0, SHOULD: 0, MAY: 0 };
  const passed = { MUST: 0, SHOULD: 0, MAY: 0 };
  let unanswered = 0;
  for (const audit of audits) {
    const level = audit.name.split(' ', 1)[0];
    found[level] = (found[level] ?? 0) + 1;
    const result = await runOne(audit);
    if (result.ok) {
      passed[level] = (passed[level] ?? 0) + 1;
    } else {
      // the name begins with the level
      console.log(`${audit.id} ${oneLine(audit.name)}: ${oneLine(result.reason)}`);
    }
    unanswered = result.unanswered ? unanswered + 1 : 0;
    if (unanswered === MAX_UNANSWERED) {
      throw new CannotRun(`${url} no longer answers: ${unanswered} audits in a row have no answer.`);
    }
  }

  const complete =
    audits.length === TOTAL &&
    new Set(audits.map(({ id }) => id)).size === TOTAL &&
    Object.entries(EXPECTED).every(([level, count]) => found[level] === count);
  if (!complete) {
    const levels = Object.entries(found).map(([level, count]) => `${level} ${count}`);
    console.log(`The suite holds ${audits.length} audits (${levels.join(', ')}), not the expected ${TOTAL}.`);
  }
  const sum = Object.values(passed).reduce((a, b) => a + b, 0);
  const levels = Object.entries(EXPECTED).map(([level, count]) => `${level} ${passed[level]}/${count}`);
  console.log(`${sum} of ${TOTAL} audits pass (${levels.join(', ')})`);
  return complete && sum === TOTAL ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (err) {
  console.error(err instanceof CannotRun ? err.message : `The check cannot run: ${err.message}`);
  process.exitCode = 2;
}
