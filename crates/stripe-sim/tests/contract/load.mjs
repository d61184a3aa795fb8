// How fast it is and how much memory a session takes: `node load.mjs BINARY [OTHER]`. Two binaries are measured one
// after the other in the same run, and the ratio is printed: a figure alone says little on another machine.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';

const SESSIONS = Number(process.env.LOAD_SESSIONS ?? 10_000);
const PAYMENTS = Number(process.env.LOAD_PAYMENTS ?? 2_000);
const AT_ONCE = 32;
const FORM =
  'mode=payment&success_url=https%3A%2F%2Fshop.example%2Fok&line_items[0][price_data][currency]=eur' +
  '&line_items[0][price_data][unit_amount]=2000&line_items[0][price_data][product_data][name]=Room&line_items[0][quantity]=1';

const agent = new http.Agent({ keepAlive: true, maxSockets: AT_ONCE });
function send(port, method, at, body, type = 'application/x-www-form-urlencoded') {
  return new Promise((done, failed) => {
    const headers = { authorization: 'Bearer sk_test_x', 'content-type': type, 'content-length': Buffer.byteLength(body) };
    if (method === 'POST') headers['idempotency-key'] = crypto.randomUUID();
    const request = http.request({ host: '127.0.0.1', port, method, path: at, headers, agent }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString();
        if (answer.statusCode !== 200) return failed(new Error(`${method} ${at}: ${answer.statusCode} ${text.slice(0, 300)}`));
        return done(JSON.parse(text));
      });
    });
    request.on('error', failed);
    request.end(body);
  });
}

async function start(binary, file, hook) {
  const began = performance.now();
  const more = hook ? ['--webhook-url', hook] : [];
  const child = spawn(binary, ['--port', '0', '--quiet', '--data-file', file, ...more], { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  for await (const part of child.stdout) {
    said += part;
    if (said.includes('SIMULATOR_SEED=')) break;
  }
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(said)[1]);
  return { child, port, seconds: (performance.now() - began) / 1000 };
}
const stop = (child) => new Promise((done) => {
  child.on('exit', done);
  child.kill('SIGTERM');
});
const memory = (child) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);
async function timed(count, work) {
  const began = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return (performance.now() - began) / 1000;
}

async function measure(binary) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'stripe-sim-load-'));
  const file = path.join(folder, 'state.json');
  let delivered = 0;
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      delivered += 1;
      response.end();
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const hook = `http://127.0.0.1:${server.address().port}/`;
  let sim = await start(binary, file, hook);
  await send(sim.port, 'POST', '/v1/checkout/sessions', FORM);
  const before = memory(sim.child);
  const ids = [];
  const made = await timed(SESSIONS, async () => ids.push((await send(sim.port, 'POST', '/v1/checkout/sessions', FORM)).id));
  const kilobytes = (memory(sim.child) - before) / SESSIONS;
  let began = performance.now();
  for (let after = '', more = true; more; ) {
    const page = await send(sim.port, 'GET', `/v1/checkout/sessions?limit=100${after}`, '');
    after = `&starting_after=${page.data.at(-1).id}`;
    more = page.has_more;
  }
  const listed = (performance.now() - began) / 1000;
  await stop(sim.child);
  sim = await start(binary, file, hook);
  const restarted = sim.seconds;
  began = performance.now();
  const paid = await timed(PAYMENTS, (n) =>
    send(sim.port, 'POST', `/_sim/sessions/${ids[n]}/pay`, '{"card":"4242424242424242"}', 'application/json'));
  for (let waits = true; waits; ) waits = !(await send(sim.port, 'POST', '/_sim/deliveries/wait', '{"timeout_ms":60000}', 'application/json')).done;
  const all = (performance.now() - began) / 1000;
  await stop(sim.child);
  server.close();
  server.closeAllConnections();
  fs.rmSync(folder, { recursive: true });
  return {
    'sessions made each second': SESSIONS / made,
    [`seconds to list ${SESSIONS}`]: listed,
    'payments each second': PAYMENTS / paid,
    'deliveries each second': delivered / all,
    [`seconds to restart with ${SESSIONS}`]: restarted,
    'KiB of memory for each session': kilobytes,
  };
}

const [, , ...binaries] = process.argv;
const results = [];
for (const binary of binaries) results.push(await measure(binary));
for (const name of Object.keys(results[0])) {
  const values = results.map((result) => result[name]);
  const ratio = values.length > 1 ? `  ratio ${(values[0] / values[1]).toFixed(2)}` : '';
  console.log(`${name}: ${values.map((value) => value.toFixed(2)).join(' against ')}${ratio}`);
}
