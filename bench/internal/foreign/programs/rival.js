// A rival in JavaScript: rival.js KIND SIZE IN_FLIGHT. See package foreign for what it reads and writes.
'use strict';

const { fork } = require('node:child_process');
const readline = require('node:readline');

const [kind, sizeText] = process.argv.slice(2);
const size = Number(sizeText);
const plain = 0, last = 1;

// make makes a message that carries a number, and number reads it.
function make(n) {
  if (kind === 'struct') {
    return {
      id: n,
      name: 'resize the picture',
      tags: ['image', 'urgent', 'customer'],
      attrs: { format: 'webp', owner: 'gallery', region: 'eu-central' },
      score: 0.8125,
      when: new Date(1_700_000_000_123),
      blob: Buffer.from(Array.from({ length: 64 }, (_, i) => (7 * i) % 256)),
    };
  }
  const b = Buffer.alloc(Math.max(size, 8));
  b.writeUInt32LE(n);
  return b;
}

function number(v) {
  return kind === 'struct' ? v.id : Buffer.from(v.buffer, v.byteOffset, v.byteLength).readUInt32LE(0);
}

function child() {
  let count = 0;
  process.on('message', (v) => {
    if (kind === 'echo' || kind === 'spawn') {
      process.send(v, () => { if (kind === 'spawn') process.disconnect(); });
      return;
    }
    count++;
    if (number(v) === last) {
      process.send(make(count));
      count = 0;
    }
  });
}

function start() {
  return fork(__filename, [kind, sizeText, '0'], { env: { ...process.env, GIPC_BENCH_NODE: '1' }, serialization: 'advanced' });
}

const received = (c) => new Promise((resolve) => c.once('message', resolve));

async function stream(c, n) {
  const message = make(plain);
  const answer = received(c);
  const began = process.hrtime.bigint();
  for (let i = 1; i < n; i++) {
    // send is false where too much waits to be written. Then its callback tells when this message is.
    await new Promise((resolve) => { if (c.send(message, resolve)) resolve(); });
  }
  c.send(make(last));
  const got = number(await answer);
  const took = process.hrtime.bigint() - began;
  if (got !== n) throw new Error(`the child has got ${got} messages of ${n}`);
  return [took];
}

async function echo(c, n) {
  const message = make(plain);
  const times = [];
  const began = process.hrtime.bigint();
  let begin = began;
  for (let i = 0; i < n; i++) {
    const answer = received(c);
    c.send(message);
    await answer;
    const now = process.hrtime.bigint();
    times.push(now - begin);
    begin = now;
  }
  times.sort((a, b) => (a < b ? -1 : 1));
  const at = (percent) => times[Math.ceil((n * percent) / 100) - 1];
  return [begin - began, at(50), at(99)];
}

async function spawn(n) {
  const began = process.hrtime.bigint();
  for (let i = 0; i < n; i++) {
    const c = start();
    const ended = new Promise((resolve) => c.once('exit', resolve));
    c.send(make(plain));
    await received(c);
    await ended;
  }
  return [process.hrtime.bigint() - began];
}

async function parent() {
  const c = kind === 'spawn' ? null : start();
  console.log('ready');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const n = Number(line);
    const times = kind === 'spawn' ? await spawn(n) : kind === 'echo' ? await echo(c, n) : await stream(c, n);
    console.log(times.join(' '));
  }
  if (c) c.disconnect();
}

if (process.env.GIPC_BENCH_NODE) child();
else parent().catch((e) => { console.error(e); process.exit(1); });
