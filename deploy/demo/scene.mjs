// The scene of deploy/quickstart --demo: breaks the portal as real applications break, and shows what quell makes of it.
//   node scene.mjs PLACE [--healthy SECONDS]
// Exit 0 only if the right remedy, and nothing else, resolved the incident.
import {execFile} from 'node:child_process';
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

function health() {
  return new Promise((resolve) => {
    const request = http.get({host: '127.0.0.1', port: ports.port_app, path: '/api/admin/health', timeout: 1000},
                             (response) => {
                               response.resume();
                               resolve(response.statusCode === 200);
                             });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

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

async function hang(webhook, mail) {
  say('\nThe portal hangs: its process is online, its health endpoint does not answer');
  const before = await portalPid();
  order('hang');
  await until(10, 'the hang', async () => !(await health()));
  const fault = Date.now();
  const resolved = await until(240, 'the end of the incident', async () => {
    const found = await everyIncident();
    if (found.length === 0 || found[0].status !== 'resolved') return undefined;
    return (await quell('describe', 'incident', found[0].id));
  });
  const commands = await everyCommand();
  const after = await portalPid();
  printTimes(fault, resolved, commands[0], webhook, mail);
  say('\nExpected and done');
  expect((await everyIncident()).length === 1, `one incident: ${resolved.title}`);
  expect(commands.length === 1, `one command (there are ${commands.length})`);
  const command = commands[0] ?? {};
  expect(command.action === 'pm2.restart' && command.state === 'succeeded', `pm2.restart succeeded (${command.action} ${command.state})`);
  expect(command.verification?.state === 'verified', 'its effect was verified on the portal itself');
  expect(after !== before && after !== 0, `another process: ${before} before, ${after} now`);
  expect(await health(), 'the portal answers');
  expect(webhook.received.length > 0, `told by webhook (${webhook.received.length} messages)`);
  expect(mail.received.length === 0, 'nobody was woken: it was put right in time');
}

function printTimes(fault, incident, command, webhook, mail) {
  const at = (text) => (text ? Date.parse(text) : 0);
  const told = Math.min(...webhook.received.map((message) => message.at), ...mail.received.map((message) => message.at));
  const rows = [['fault', fault], ['detected', at(incident.detected_at)], ['declared', at(incident.declared_at)],
                ['told', Number.isFinite(told) ? told : 0], ['command started', at(command?.started_at)],
                ['verified', at(incident.mitigated_at)], ['resolved', at(incident.resolved_at)]];
  say('');
  for (const [name, time] of rows) {
    say(`  ${name.padEnd(16)} ${clock(time)}  ${time ? since(fault, time) : ''}`);
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
    await hang(webhook, mail);
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
