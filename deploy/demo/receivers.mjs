// A webhook and a mail receiver on loopback, for the demo: they keep what arrives, with the time of its arrival.
import http from 'node:http';
import net from 'node:net';

const MOST_BYTES = 1 << 20;

export function startWebhook(port) {
  const received = [];
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      if (body.length < MOST_BYTES) body += chunk;
    });
    request.on('end', () => {
      received.push({at: Date.now(), key: request.headers['idempotency-key'] ?? '', body: JSON.parse(body)});
      response.end('ok');
    });
  });
  return listen(server, port, received);
}

// Just enough of RFC 5321 for one client at a time per connection.
export function startMail(port) {
  const received = [];
  const server = net.createServer((socket) => {
    let pending = '';
    let message = null;
    const say = (line) => socket.write(`${line}\r\n`);
    const command = (line) => {
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === 'EHLO' || verb === 'HELO') return say('250 demo');
      if (verb === 'DATA') {
        message = [];
        return say('354 go on');
      }
      if (verb === 'QUIT') {
        say('221 bye');
        return socket.end();
      }
      return say('250 ok');
    };
    const line = (text) => {
      if (message === null) return command(text);
      if (text !== '.') return message.push(text);
      received.push({at: Date.now(), text: message.join('\n')});
      message = null;
      return say('250 kept');
    };
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk) => {
      pending += chunk;
      for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
        const text = pending.slice(0, end).replace(/\r$/, '');
        pending = pending.slice(end + 1);
        line(text);
      }
    });
    say('220 demo');
  });
  return listen(server, port, received);
}

function listen(server, port, received) {
  return new Promise((resolve, reject) => {
    server.on('error', reject);
    server.listen(port, '127.0.0.1', () => resolve({received, close: () => server.close()}));
  });
}
