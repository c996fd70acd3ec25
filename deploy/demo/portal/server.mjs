// The demo's application: a client portal that can be made to fail like real ones do.
//
//   PORT              where it listens, on 127.0.0.1
//   PORTAL_CONTROL    a directory; creating a file there breaks it:
//                       hang    the event loop stands still: the process stays, nothing is answered any more
//                       crash   an uncaught exception: the process ends with code 1
//                     The file is removed first, so that the next start is healthy.
//   PORTAL_DATABASE   the directory of PostgreSQL's socket; with it /login?client=N writes down when that client came.
//                     PGPORT, PGUSER and PGDATABASE as everywhere.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const port = Number(process.env.PORT ?? 3000);
const control = process.env.PORTAL_CONTROL ?? "";
const database = await connect(process.env.PORTAL_DATABASE ?? "");
let served = 0;

const page = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Boutique client portal</title></head>
<body><h1>Boutique client portal</h1><p>Welcome back.</p></body></html>
`;

async function connect(host) {
  if (host === "") return undefined;
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ host, max: 12, application_name: "boutique-client-portal" });
  pool.on("error", (error) => console.error(`a connection to the database ended: ${error.message}`));
  return pool;
}

async function logIn(client, response) {
  try {
    if (database) await database.query("UPDATE clients SET seen = now() WHERE id = $1", [client]);
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page);
  } catch (error) {
    console.error(`cannot log in client ${client}: ${error.message}`);
    response.writeHead(503, { "content-type": "text/plain" }).end("try again later\n");
  }
}

function answer(request, response) {
  served += 1;
  const { pathname, searchParams } = new URL(request.url, "http://portal");
  if (pathname === "/api/admin/health") {
    response.writeHead(200, { "content-type": "text/plain" }).end("ok\n");
  } else if (pathname === "/" || pathname === "/login") {
    logIn(Number(searchParams.get("client") ?? 1), response);
  } else {
    response.writeHead(404, { "content-type": "text/plain" }).end("not found\n");
  }
}

// Waits for a lock that nobody will release, as a synchronous call to a stuck dependency does.
function hang() {
  console.error(`waiting for the session store after ${served} requests`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function crash() {
  throw new Error("cannot read the session of client 4711");
}

function takeOrder(name, act) {
  const file = path.join(control, name);
  if (!fs.existsSync(file)) return;
  fs.rmSync(file, { force: true });
  act();
}

if (control !== "") {
  setInterval(() => {
    takeOrder("hang", hang);
    takeOrder("crash", crash);
  }, 100);
}

http.createServer(answer).listen(port, "127.0.0.1", () => console.log(`listening on 127.0.0.1:${port}`));
