// SPDX-License-Identifier: ISC
// What makes the pages live. All of it works without, by forms and reloading: see docs/web.md.
'use strict';

const $ = (sel, el = document) => el.querySelector(sel), $$ = (sel, el = document) => [...el.querySelectorAll(sel)];

/* ---- messages ---- */

let toastTimer;
function toast(text, hint) {
  const el = $('#toast');
  el.replaceChildren(document.createTextNode(text));
  if (hint) { const small = document.createElement('small'); small.textContent = hint; el.append(small); }
  el.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { el.hidden = true; }, 8000);
}

/* ---- records into their places: what the server's template shows at first ---- */

function fill(el, record) {
  for (const node of $$('[data-f]', el)) {
    const value = record[node.dataset.f];
    if (value !== undefined && node.textContent !== value) node.textContent = value;
    if (node.dataset.look !== undefined && record.look) node.className = 'state ' + record.look;
    if (node.dataset.class) { const [flag, name] = node.dataset.class.split(':'); node.classList.toggle(name, !!record[flag]); }
  }
  for (const node of $$('[data-if]', el)) if (node.dataset.if in record) node.hidden = !record[node.dataset.if];
  for (const node of $$('[data-not]', el)) if (node.dataset.not in record) node.hidden = !!record[node.dataset.not];
}

function fillBar(el, op) {
  for (const bar of $$('[data-bar]', el)) if (op.measured) bar.value = Number(op.percent); else bar.removeAttribute('value');
}

// A new row out of its template: names go into its links and buttons.
function stamp(template, word, name) {
  const el = $(template).content.firstElementChild.cloneNode(true);
  const put = text => text.replace(word, encodeURIComponent(name));
  for (const node of $$('[data-do]', el)) node.setAttribute('formaction', put(node.dataset.do));
  for (const node of $$('[data-to]', el)) node.setAttribute('href', put(node.dataset.to));
  for (const node of $$('[data-aria]', el)) node.setAttribute('aria-label', put(node.dataset.aria));
  for (const node of $$('[data-name]', el)) { node.value = name; node.setAttribute('aria-label', 'Select ' + name); }
  return el;
}

/* ---- the list ---- */

const vms = new Map(), ops = new Map(), rows = new Map(), series = new Map();
const dirty = new Set();
let complete = false;

function wanted(vm) {
  const q = ($('#q')?.value || '').toLowerCase(), state = $('.chips a[aria-current]')?.dataset.chip || '';
  return (!q || [vm.name, vm.image, vm.labels].some(t => (t || '').toLowerCase().includes(q))) && (!state || vm[state]);
}

function drawVm(name) {
  const vm = vms.get(name), body = $('#vms'), single = $('#vm');
  if (single && single.dataset.vm === name) {
    if (!vm) { location.assign('/'); return; }
    fill(single, vm);
    drawStage(single, vm);
    drawSparks(single, name);
    retryTerminal(vm);
  }
  if (!body) return;
  let row = rows.get(name);
  if (!vm) { row?.remove(); rows.delete(name); return; }
  if (!row) {
    row = stamp('#vm-row', 'NAME', name);
    row.dataset.vm = name;
    const next = [...rows.keys()].filter(n => n > name).sort()[0];
    body.insertBefore(row, next ? rows.get(next) : null);
    rows.set(name, row);
  }
  row.hidden = !wanted(vm);
  fill(row, vm);
  drawStage(row, vm);
  drawSparks(row, name);
}

function drawStage(el, vm) {
  const op = vm.operation && ops.get(vm.operation);
  if (!op) return;
  fill(el, {stage: op.text});
  fillBar(el, op);
}

function drawOps() {
  const list = $('#ops ul');
  if (!list) return;
  const now = [...ops.values()].filter(op => op.running);
  for (const li of [...list.children]) if (!ops.get(li.dataset.op)?.running) li.remove();
  for (const op of now) {
    let li = [...list.children].find(el => el.dataset.op === op.id);
    if (!li) { li = stamp('#op-row', 'ID', op.id); li.dataset.op = op.id; list.append(li); $('progress', li).setAttribute('aria-label', `Progress of ${op.verb} ${op.target}`); }
    fill(li, op);
    fillBar(li, op);
  }
  $('#ops').hidden = now.length === 0;
}

function drawCounts() {
  const n = {runs: 0, sleeps: 0, rests: 0, bad: 0, busy: 0};
  for (const vm of vms.values()) for (const key in n) if (vm[key]) n[key]++;
  n.all = vms.size;
  for (const el of $$('[data-n]')) if (el.textContent !== String(n[el.dataset.n])) el.textContent = n[el.dataset.n];
  if ($('#empty')) $('#empty').hidden = [...rows.values()].some(r => !r.hidden);
}

function spark(el, values, max) {
  const step = 76 / Math.max(1, values.length - 1), y = v => (21 - 19 * Math.min(1, v / (max || 1))).toFixed(1);
  const points = values.map((v, i) => `${(i * step).toFixed(1)},${y(v)}`).join(' ');
  $('polyline', el).setAttribute('points', points);
  $('path', el).setAttribute('d', `M0 22L${points.replaceAll(' ', 'L')}L76 22z`);
}

function drawSparks(el, name) {
  if (!vms.get(name)?.runs && series.delete(name)) {
    fill(el, {cpu: '', mem: ''});
    for (const node of $$('[data-spark]', el)) node.hidden = true;
  }
  const s = series.get(name);
  if (!s) return;
  for (const node of $$('[data-spark]', el)) {
    const key = node.dataset.spark;
    if (s[key].length < 2) continue;
    node.hidden = false;
    spark(node, s[key], Math.max(...s[key], key === 'cpu' ? 100 : vms.get(name).mem_bytes));
  }
  fill(el, s.words);
}

// Five times a second at most, however many messages there are, and a few rows at a time: a frame stays short, whatever was missed before it.
const ROWS_AT_ONCE = 8;
let drawAt = 0;
function schedule(ms = 200) {
  if (drawAt) return;
  drawAt = setTimeout(() => requestAnimationFrame(() => {
    drawAt = 0;
    let n = 0;
    for (const name of dirty) {
      if (++n > ROWS_AT_ONCE) { schedule(50); return; }
      dirty.delete(name);
      drawVm(name);
    }
    drawOps();
    drawCounts();
  }), ms);
}

/* ---- live: one stream, while the page is seen ---- */

let stream, lastHeard = 0, failures = 0, retryTimer, ended = false;

function say(look, text) {
  $('#live').className = 'live ' + look;
  if ($('#live-text').textContent !== text) $('#live-text').textContent = text;
}

function takeOp(op) {
  const before = ops.get(op.id);
  ops.set(op.id, op);
  if (!op.running && before?.running && op.error) toast(`${op.noun} ${op.verb} ${op.target}: ${op.error}`, op.hint);
  if (!op.running && before?.running && !op.of_vm && $('table.plain')) location.reload();
  if (op.of_vm) dirty.add(op.target);
}

function takeAll(all) {
  const names = new Set(all.vms.map(vm => vm.name));
  for (const name of [...vms.keys(), ...rows.keys()]) if (!names.has(name)) { vms.delete(name); dirty.add(name); }
  // What ended between this page and its stream: the list is older than that.
  if ($('table.plain') && $$('#ops li').some(li => !all.ops.some(op => op.running && op.id === li.dataset.op))) location.reload();
  for (const op of all.ops) ops.set(op.id, op);
  for (const id of ops.keys()) if (!all.ops.some(op => op.id === id)) ops.delete(id);
  for (const vm of all.vms) { vms.set(vm.name, vm); dirty.add(vm.name); }
  const single = $('#vm');
  if (single && !names.has(single.dataset.vm)) dirty.add(single.dataset.vm);
}

function takeUsage(list) {
  for (const u of list) {
    const s = series.get(u.name) || {cpu: [], mem: []};
    s.cpu.push(u.cpu);
    s.mem.push(u.mem);
    for (const key of ['cpu', 'mem']) if (s[key].length > 60) s[key].shift();
    s.words = {cpu: u.cpu_text, mem: u.mem_text};
    series.set(u.name, s);
    dirty.add(u.name);
  }
  if ($('#sum-cpu') && list.length) {
    $('#sum-cpu').textContent = Math.round(list.reduce((n, u) => n + u.cpu, 0)) + ' %';
    $('#sum-mem').textContent = (list.reduce((n, u) => n + u.mem, 0) / 1073741824).toFixed(1) + ' GiB';
  }
}

function connect() {
  if (stream || document.hidden || !$('#live') || ended) return;
  stream = new EventSource('/live');
  lastHeard = Date.now();
  const on = (name, fn) => stream.addEventListener(name, e => {
    lastHeard = Date.now();
    failures = 0;
    fn(JSON.parse(e.data));
    schedule();
  });
  on('all', all => { takeAll(all); complete = true; say('', 'live · ' + host); });
  on('vm', vm => { vms.set(vm.name, vm); dirty.add(vm.name); });
  on('gone', vm => { vms.delete(vm.name); dirty.add(vm.name); });
  on('op', takeOp);
  on('usage', takeUsage);
  on('bye', () => { ended = true; sessionStorage.clear(); disconnect(); say('dead', 'signed out'); });
  on('full', () => { ended = true; disconnect(); say('off', 'paused: too many tabs'); });
  stream.onerror = async () => {
    disconnect();
    failures++;
    // A stream says no more than that it failed: any log answers 403 to who is not signed in.
    if ((await fetch('/v1/vms/-/logs').catch(() => ({}))).status === 403) { ended = true; say('dead', 'signed out: run banger web'); return; }
    say(failures > 2 ? 'dead' : 'off', failures > 2 ? 'the daemon does not answer' : 'reconnecting');
    clearTimeout(retryTimer);
    retryTimer = setTimeout(connect, failures > 2 ? 15000 : 1000 + Math.random() * 2000);
  };
}

function disconnect() {
  stream?.close();
  stream = null;
}

const host = $('#live-text')?.textContent || '';
document.addEventListener('visibilitychange', () => { if (document.hidden) disconnect(); else { failures = 0; if (!ended) connect(); } });
addEventListener('pagehide', disconnect);
addEventListener('pageshow', e => { if (e.persisted) connect(); });
// The server says something every 15 seconds, but comments are not told of: a machine that slept is found by its clock.
let clock = Date.now();
setInterval(() => { const now = Date.now(); if (now - clock > 40000) { disconnect(); connect(); } clock = now; }, 10000);

/* ---- forms: the same ones, without leaving the page ---- */

async function submit(form, button) {
  const data = new URLSearchParams(new FormData(form));
  if (button?.name) data.set(button.name, button.value);
  const action = button?.getAttribute('formaction') || form.getAttribute('action');
  if (action === '/sign-out') { session?.close(); sessionStorage.clear(); }
  if (button) button.disabled = true;
  try {
    const r = await fetch(action, {method: 'POST', body: data, headers: {Accept: 'application/json'}});
    const answer = await r.json().catch(() => ({}));
    if (!r.ok) return toast(answer.error?.message || 'That did not work.', answer.error?.hint);
    $$('details[open]').forEach(d => { d.open = false; });
    if (form.dataset.go !== undefined || form.matches('.form, .forms form, .settings')) location.assign(answer.to || '/');
  } catch {
    toast('The daemon does not answer.');
  } finally {
    if (button) button.disabled = false;
  }
}

document.addEventListener('submit', e => {
  if (e.target.method !== 'post' || e.submitter?.dataset.plain !== undefined) return;
  e.preventDefault();
  submit(e.target, e.submitter);
});

/* ---- the list's controls ---- */

function marks() { return $$('#vms input[name=vm]:checked').filter(b => !b.closest('tr').hidden); }
function drawMarks() { const n = marks().length; $$('#many button').forEach(b => { b.disabled = n === 0; }); }

if ($('#vms')) {
  for (const row of $$('#vms tr')) rows.set(row.dataset.vm, row);
  const filter = () => { for (const [name, row] of rows) { const vm = vms.get(name); if (vm) row.hidden = !wanted(vm); } drawCounts(); drawMarks(); };
  $('#q').addEventListener('input', filter);
  $('#q').form.addEventListener('submit', e => e.preventDefault());
  for (const chip of $$('.chips a')) chip.addEventListener('click', e => {
    e.preventDefault();
    $$('.chips a').forEach(a => a.removeAttribute('aria-current'));
    chip.setAttribute('aria-current', 'true');
    history.replaceState(null, '', chip.getAttribute('href'));
    filter();
  });
  $('#all').addEventListener('change', e => { for (const row of rows.values()) if (!row.hidden) $('input[name=vm]', row).checked = e.target.checked; drawMarks(); });
  $('#vms').addEventListener('change', drawMarks);
  drawMarks();
}
document.addEventListener('click', e => { for (const d of $$('details[open]')) if (!d.contains(e.target)) d.open = false; });
document.addEventListener('keydown', e => {
  if (e.key === 'Escape') $$('details[open]').forEach(d => { d.open = false; $('summary', d).focus(); });
  if (e.ctrlKey || e.altKey || e.metaKey || /INPUT|TEXTAREA|SELECT/.test(e.target.tagName)) return;
  if (e.key === '/' && $('#q')) { e.preventDefault(); $('#q').focus(); }
  if (e.key === 'n') location.assign('/new');
});

/* ---- the same as a command ---- */

if ($('#create')) {
  const quote = t => /^[\w.,:=\/@%+-]+$/.test(t) ? t : "'" + t.replaceAll("'", "'\\''") + "'";
  const draw = () => {
    const f = $('#create'), words = ['banger vm create'];
    for (const [name, flag] of [['name', '--name'], ['image', '--image'], ['kernel', '--kernel'], ['cpus', '--cpus'], ['memory_mib', '--memory'], ['disk_mib', '--disk'], ['work_mib', '--work']]) if (f[name].value) words.push(flag + ' ' + quote(f[name].value));
    if (!f.nat.checked) words.push('--no-nat');
    if (f.peers.checked) words.push('--peers');
    if (f.with_init.checked) words.push('--with-init');
    for (const [name, flag] of [['publish', '--publish'], ['expose', '--expose-host'], ['labels', '--label']]) for (const w of f[name].value.split(/[\s,]+/).filter(Boolean)) words.push(flag + ' ' + quote(w));
    $('#command').textContent = words.join(' \\\n  ');
  };
  $('#create').addEventListener('input', draw);
  draw();
}

/* ---- logs ---- */

const CONTROL = /\x1b\[[0-?]*[ -\/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -\/]*[0-~]/g;
const readable = text => text.replace(CONTROL, '').replace(/[\x00-\x08\x0b-\x1f\x7f]/g, c => c === '\r' ? '' : '^' + String.fromCharCode(c.charCodeAt(0) ^ 64)).replace(/[\x80-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0')).slice(0, 4096);

// Reads a log of the API as it grows: take gets pieces of bytes.
async function readLog(name, query, take, signal) {
  const r = await fetch(`/v1/vms/${encodeURIComponent(name)}/logs?${query}`, {signal});
  if (!r.ok) throw new Error('refused');
  const reader = r.body.getReader();
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    await take(value);
  }
}

if ($('#log')) {
  const box = $('#log'), form = $('#log-form'), LINES = 2000;
  let stop, rest = '', total = 0, pending = [], planned = false;
  const draw = () => {
    planned = false;
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 30, piece = document.createDocumentFragment(), find = $('#log-find').value;
    for (const line of pending.splice(0).slice(-LINES)) {
      const el = document.createElement('span');
      el.textContent = line;
      if (/\b(error|failed|panic|fatal)\b/i.test(line)) el.className = 'err'; else if (/\bwarn(ing)?\b/i.test(line)) el.className = 'warn';
      el.hidden = !!find && !line.toLowerCase().includes(find.toLowerCase());
      piece.append(el);
    }
    box.append(piece);
    while (box.children.length > LINES) box.firstChild.remove();
    $('#log-count').textContent = total > LINES ? `last ${LINES} of ${total} lines` : `${total} lines`;
    if (atEnd && form.follow.checked) box.scrollTop = box.scrollHeight;
  };
  const take = decoder => bytes => {
    const lines = (rest + decoder.decode(bytes, {stream: true})).split('\n');
    rest = lines.pop().slice(-65536);
    total += lines.length;
    for (const line of lines) pending.push(readable(line));
    if (pending.length > 2 * LINES) pending.splice(0, pending.length - LINES);
    if (!planned && lines.length) { planned = true; setTimeout(() => requestAnimationFrame(draw), 100); }
  };
  const start = () => {
    stop?.abort();
    stop = new AbortController();
    box.replaceChildren();
    pending = [];
    rest = '';
    total = 0;
    if (document.hidden) return;
    const query = `log=${form.log.value}&tail=${LINES}${form.follow.checked ? '&follow=1' : ''}`;
    readLog(box.dataset.vm, query, take(new TextDecoder()), stop.signal).catch(e => { if (e.name !== 'AbortError') toast('The log ended: the daemon does not answer.'); });
  };
  form.addEventListener('submit', e => e.preventDefault());
  form.log.addEventListener('change', start);
  form.follow.addEventListener('change', start);
  form.wrap.addEventListener('change', () => box.classList.toggle('nowrap', !form.wrap.checked));
  $('#log-find').addEventListener('input', () => { const find = $('#log-find').value.toLowerCase(); for (const el of box.children) el.hidden = !!find && !el.textContent.toLowerCase().includes(find); });
  document.addEventListener('visibilitychange', () => { if (document.hidden) stop?.abort(); else start(); });
  start();
}

/* ---- terminal and console ---- */

let term, session, retryTerminal = () => {};

function over(el, text) {
  $('.over', el)?.remove();
  if (!text) return;
  const note = document.createElement('div');
  note.className = 'over';
  note.textContent = text;
  el.append(note);
}

// Only between two pages: what is on the screen is not left lying about.
function takeFormer(key) {
  const text = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  try { return JSON.parse(text); } catch { return null; }
}

function startShell(el) {
  const form = $('#term-form'), key = 'term ' + el.dataset.vm;
  const open = former => {
    session?.close();
    const query = {};
    for (const name of ['user', 'command']) if (form[name].value) query[name] = form[name].value;
    term.screen.reset();
    if (former) try { term.screen.unpack(former.screen); } catch { former.seen = 0; term.screen.reset(); }
    over(el, 'Connecting…');
    session = new Session(`ws://${location.host}/v1/vms/${encodeURIComponent(el.dataset.vm)}/terminal`, query, term, {on: note => { over(el, ''); if (note) toast(note); }, end: text => over(el, text + ' Enter opens another.')}, former);
  };
  term = new Term(el, text => {
    if (session.ended && text === '\r') open(); else session.type(text);
  });
  term.screen.onTitle = text => { document.title = (text ? text + ' — ' : '') + el.dataset.vm + ' · banger'; };
  term.onSize = (rows, cols) => { session?.size(rows, cols); drawSize(); };
  const drawSize = () => { $('#term-size').textContent = `${term.screen.cols} × ${term.screen.rows}`; };
  form.addEventListener('submit', e => { e.preventDefault(); open(); term.input.focus(); });
  $('#term-w').addEventListener('click', () => { session.type('\x17'); term.input.focus(); });
  $('#term-paste').addEventListener('click', async () => { try { term.paste(await navigator.clipboard.readText()); } catch { toast('The browser does not give the clipboard.', 'Ctrl+Shift+V pastes.'); } term.input.focus(); });
  for (const b of $$('#term-keys button')) b.addEventListener('click', () => {
    const key = b.dataset.key;
    if (key === 'Control') { term.control = !term.control; b.setAttribute('aria-pressed', String(term.control)); }
    else session.type(term.keyBytes({key, getModifierState: () => false}) ?? key);
    term.input.focus();
  });
  term.onControlUsed = () => { term.control = false; $('#term-keys [data-key=Control]').setAttribute('aria-pressed', 'false'); };
  // Links of ours lead back in time; a tab that is closed does not.
  let stays = false;
  document.addEventListener('click', e => { stays = !!e.target.closest('a'); });
  addEventListener('beforeunload', e => { if (!session.ended && session.used && !stays) e.preventDefault(); });
  addEventListener('pagehide', () => {
    if (session.ended) return;
    try { sessionStorage.setItem(key, JSON.stringify({id: session.id, seen: session.seen, screen: term.screen.pack()})); } catch { /* it is full: the session ends */ }
  });
  drawSize();
  // The VM's guest may come later: the events say when. One that is on its way down is still there for a while, and is no reason.
  let there = el.dataset.open !== undefined;
  retryTerminal = vm => {
    if (vm.open && !there && session.ended && !session.used) open();
    there = vm.open;
  };
  const former = takeFormer(key);
  if (el.dataset.open !== undefined) return open(former);
  session = {ended: true, type() {}, size() {}, close() {}};
  over(el, 'A terminal opens here when the VM runs.');
}

function startConsole(el) {
  const stop = new AbortController();
  term = new Term(el, null);
  readLog(el.dataset.vm, 'log=serial&boot=1&follow=1&tail=2000', bytes => new Promise(done => term.write(bytes, done)), stop.signal).catch(() => over(el, 'The console ended.'));
  addEventListener('pagehide', () => stop.abort());
}

if ($('#term')) {
  if ($('#term').dataset.kind === 'shell') startShell($('#term')); else startConsole($('#term'));
}

connect();
