// The scene of deploy/quickstart --demo: breaks the portal as real applications break, and shows what quell makes of it.
//   node scene.mjs PLACE [--healthy SECONDS]
// Exit 0 only if the right remedies, and nothing else, resolved the incidents.
import {execFile, spawn} from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {promisify} from 'node:util';

import {startMail, startWebhook} from './receivers.mjs';

const run = promisify(execFile);
const place = process.argv[2];
const healthySeconds = Number(option('--healthy') ?? 60);
const ports = readPorts();
const app = 'boutique-client-portal';
const problems = [];

function option(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

function readPorts() {
  const lines = fs.readFileSync(path.join(place, 'ports'), 'utf8').trim().split('\n');
  return Object.fromEntries(lines.map((line) => line.split('=')).map(([name, value]) => [name, Number(value)]));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const clock = (ms) => (ms ? new Date(ms).toISOString().slice(11, 23) : '-');
const say = (text) => console.log(text);
const since = (from, to) => `+${((to - from) / 1000).toFixed(3)} s`;

async function quell(...words) {
  const {stdout} = await run(path.join(place, 'bin/quell'),
                             ['--socket', path.join(place, 'run/controller/operator.sock'), ...words, '-o', 'json']);
  return JSON.parse(stdout);
}

async function items(...words) {
  return (await quell('get', ...words)).items;
}

async function until(seconds, what, ask) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const answer = await ask();
    if (answer) return answer;
    await pause(100);
  }
  throw new Error(`${what} did not come within ${seconds} s`);
}

function expect(holds, sentence) {
  say(`  ${holds ? 'yes ' : 'NO  '} ${sentence}`);
  if (!holds) problems.push(sentence);
}

// Whether the portal answers a path with 200 in time.
function answers(url, timeout) {
  return new Promise((resolve) => {
    const request = http.get({host: '127.0.0.1', port: ports.port_app, path: url, timeout}, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

const health = () => answers('/api/admin/health', 1000);

// The portal's process as quell sees it; 0 when it has none.
async function portalPid() {
  const {result} = await quell('query', `pm2_app_pid{app="${app}"}`);
  return result.length === 0 ? 0 : Math.max(0, Number(result[0].value[1]));  // -1: PM2 has not listed it yet
}

const order = (name) => fs.writeFileSync(path.join(place, 'app/control', name), '');
const everyCommand = () => items('commands', '--all');
const everyIncident = () => items('incidents', '--all');

async function healthyMinute(told) {
  say(`\nA healthy ${healthySeconds} s: nothing is to happen`);
  const end = Date.now() + healthySeconds * 1000;
  while (Date.now() < end) {
    if (!(await health())) throw new Error('the portal does not answer while nothing is broken');
    await pause(1000);
  }
  expect((await everyCommand()).length === 0, 'no command');
  expect((await everyIncident()).length === 0, 'no incident');
  expect(told().length === 0, 'nobody told');
}

async function healedCrash(told) {
  say('\nThe portal crashes, and PM2 starts it again by itself');
  const before = await portalPid();
  order('crash');
  const event = await until(30, 'the event of the crash', async () =>
    (await items('events', '--all')).find((row) => row.kind === 'pm2.exit'));
  await until(30, 'the new process', async () => {
    const now = await portalPid();
    return now !== 0 && now !== before && (await health());
  });
  await pause(12000);  // past the time that PM2 has for it, so that a rule would have fired
  expect(true, `an event: ${event.kind} at ${event.at}`);
  expect((await everyCommand()).length === 0, 'no command');
  expect((await everyIncident()).length === 0, 'no incident');
  expect(told().length === 0, 'nobody told');
}

// Breaks something, and waits until the one incident that comes of it is resolved; with what was done for it.
async function faultToResolved(seconds, webhook, breakIt) {
  const known = new Set((await everyIncident()).map((incident) => incident.id));
  const done = new Set((await everyCommand()).map((command) => command.id));
  const toldBefore = webhook.received.length;
  await breakIt();
  const fault = Date.now();
  const news = async () => (await everyIncident()).filter((incident) => !known.has(incident.id));
  await until(seconds, 'the end of the incident', async () => {
    const found = await news();
    return found.length > 0 && found.every((incident) => incident.status === 'resolved');
  });
  const incidents = await news();
  const commands = (await everyCommand()).filter((command) => !done.has(command.id));
  commands.sort((a, b) => Date.parse(a.issued_at) - Date.parse(b.issued_at));
  const incident = await quell('describe', 'incident', incidents[0].id);
  printTimes(fault, incident, commands, webhook.received.slice(toldBefore));
  say('\nExpected and done');
  expect(incidents.length === 1, `one incident: ${incident.title}`);
  return {incident, commands};
}

const verified = (command) => command?.state === 'succeeded' && command.verification?.state === 'verified';

async function hang(webhook) {
  say('\n1. The portal hangs: its process is online, its health endpoint does not answer');
  const before = await portalPid();
  const {commands} = await faultToResolved(240, webhook, async () => {
    order('hang');
    await until(10, 'the hang', async () => !(await health()));
  });
  const after = await portalPid();
  expect(commands.length === 1 && commands[0].action === 'pm2.restart', `pm2.restart, once (${actions(commands)})`);
  expect(verified(commands[0]), 'its effect was verified on the portal itself');
  expect(after !== before && after !== 0, `another process: ${before} before, ${after} now`);
  expect(await health(), 'the portal answers');
}

const actions = (commands) => commands.map((command) => command.action).join(', ') || 'nothing was done';

// A report job that forgot its transaction. It says which session of the server it is, and keeps its lock until it ends.
async function holdLock() {
  const job = spawn(path.join(place, 'bin/demo-report'), ['-t', '-A'], {stdio: ['pipe', 'pipe', 'pipe']});
  const session = {job, pid: 0, said: ''};
  job.stdout.on('data', (text) => {
    session.said += text;
    session.pid ||= Number(/^(\d+)$/m.exec(session.said)?.[1] ?? 0);
  });
  job.stderr.on('data', (text) => (session.said += text));
  job.stdin.on('error', () => {});
  job.stdin.write('BEGIN; LOCK TABLE clients IN EXCLUSIVE MODE; SELECT pg_backend_pid();\n');
  await until(10, 'the lock', async () => session.pid > 0);
  return session;
}

// Whether psql finds its session gone.
async function sessionIsGone(session) {
  session.job.stdin.write('SELECT 1;\n');
  await until(10, 'the end of the report job', async () => session.job.exitCode !== null || /terminat|closed/.test(session.said));
  return /terminat|closed/.test(session.said);
}

async function lockedDatabase(webhook) {
  say('\n2. A session of the database holds a lock in an open transaction, and log-ins pile up behind it');
  const before = await portalPid();
  const logIns = [];
  let session;
  const {commands} = await faultToResolved(240, webhook, async () => {
    session = await holdLock();
    for (let client = 1; client <= 8; ++client) logIns.push(answers(`/login?client=${client}`, 120000));
  });
  const ended = (commands[0]?.sessions ?? []).map((ended) => ended.pid);
  expect(commands.length === 1 && commands[0].action === 'postgres.terminate', `postgres.terminate, once (${actions(commands)})`);
  expect(verified(commands[0]), 'its effect was verified on that server');
  expect(ended.length === 1 && ended[0] === session.pid, `the root blocker, and it alone: session ${session.pid} (${ended.join(', ')})`);
  expect(await sessionIsGone(session), 'that session is gone');
  session.job.stdin.end();
  expect((await Promise.all(logIns)).every((answered) => answered), 'every log-in that waited was answered');
  expect((await portalPid()) === before, `the portal's process is the same: ${before}`);
}

// As a deploy tool does: the link leads to the release, and the app is started anew from it.
async function deploy(release) {
  const link = path.join(place, 'app/current');
  await run(path.join(place, 'bin/demo-link'), [`releases/${release}`, `${link}.next`]);
  await run(path.join(place, 'bin/demo-move'), [`${link}.next`, link]);
  const pm2 = path.join(place, 'bin/demo-pm2');
  const at = {cwd: path.join(place, 'app')};
  await run(pm2, ['delete', app], at);
  await run(pm2, ['start', 'ecosystem.config.cjs', '--only', app], at);
}

async function badRelease(webhook) {
  say('\n3. Release 1.1.0 is deployed, and crashes on every request');
  const {commands} = await faultToResolved(600, webhook, async () => {
    await deploy('1.1.0');
    await until(10, 'the crash', async () => !(await health()));
  });
  const [restart, rollback] = commands;
  expect(commands.length === 2 && restart?.action === 'pm2.restart', `exactly one restart (${actions(commands)})`);
  expect(restart?.verification?.state === 'not_verified', 'that it did not help was noticed');
  expect(rollback?.action === 'release.rollback' && verified(rollback), 'rolled back to the previous release, and verified');
  const link = fs.readlinkSync(path.join(place, 'app/current'));
  expect(path.basename(link) === '1.0.0', `readlink current: ${link}`);
  const pid = await portalPid();
  const running = fs.readlinkSync(`/proc/${pid}/cwd`);
  expect(path.basename(running) === '1.0.0', `the process runs in ${running}`);
  expect(await health(), 'the portal answers');
}

function printTimes(fault, incident, commands, messages) {
  const at = (text) => (text ? Date.parse(text) : 0);
  const told = Math.min(...messages.map((message) => message.at));
  const rows = [['fault', fault], ['detected', at(incident.detected_at)], ['declared', at(incident.declared_at)],
                ['told', Number.isFinite(told) ? told : 0],
                ...commands.map((command) => [command.action, at(command.started_at)]),
                ['verified', at(incident.mitigated_at)], ['resolved', at(incident.resolved_at)]];
  say('');
  for (const [name, time] of rows) {
    say(`  ${name.padEnd(20)} ${clock(time)}  ${time ? since(fault, time) : ''}`);
  }
  expect(rows.every(([, time]) => time > 0), 'every step has a time');
}

async function main() {
  const webhook = await startWebhook(ports.port_hook);
  const mail = await startMail(ports.port_mail);
  const told = () => [...webhook.received, ...mail.received];
  try {
    say('Waiting until quell sees the portal');
    await until(60, 'the portal', async () => (await portalPid()) !== 0 && (await health()));
    await healthyMinute(told);
    await healedCrash(told);
    await hang(webhook);
    await lockedDatabase(webhook);
    await badRelease(webhook);
    say('');
    expect(webhook.received.length > 0, `told by webhook (${webhook.received.length} messages)`);
    expect(mail.received.length === 0, `nobody was woken: each was put right in time (${mail.received.length} mails)`);
  } finally {
    webhook.close();
    mail.close();
  }
}

main().catch((error) => problems.push(error.message)).then(() => {
  if (problems.length === 0) say('\nAll of it as it should be.');
  for (const problem of problems) say(`FAILED: ${problem}`);
  process.exit(problems.length === 0 ? 0 : 1);
});
