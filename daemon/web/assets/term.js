// SPDX-License-Identifier: ISC
// A terminal: Screen is bytes to cells (no DOM), Term is cells to rows of text and keys to bytes.
// Every byte is a guest's: text nodes only, no answer but fixed ones, what is unknown is swallowed whole within limits.
'use strict';

const WIDE = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const JOINS = /[\p{Mn}\p{Me}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f]/u;
const LINES = {j: '┘', k: '┐', l: '┌', m: '└', n: '┼', q: '─', t: '├', u: '┤', v: '┴', w: '┬', x: '│', a: '▒', '`': '◆', f: '°', g: '±', y: '≤', z: '≥', '~': '·', o: '⎺', s: '⎽', h: '␤', i: '␋', 0: '█'};
const BOLD = 1, DIM = 2, ITALIC = 4, UNDER = 8, BLINK = 16, INVERSE = 32, HIDDEN = 64, STRUCK = 128;
const STRING_MAX = 4096, BACK_MAX = 1000, STYLES_MAX = 16384, PARTS_MAX = 16;

class Screen {
  constructor(rows, cols) {
    this.decoder = new TextDecoder('utf-8', {ignoreBOM: true});
    this.styles = [{fg: -1, bg: -1, flags: 0}];
    this.ids = new Map([['-1,-1,0', 0]]);
    this.back = [];
    this.answer = null; // what types answers, when they are wanted
    this.onTitle = null;
    this.onLine = null;
    this.rows = rows;
    this.cols = cols;
    this.reset();
  }

  reset() {
    this.style = 0;
    this.pen = {fg: -1, bg: -1, flags: 0};
    this.y = this.x = 0;
    this.wrapNext = false;
    this.top = 0;
    this.bottom = this.rows - 1;
    this.modes = {wrap: true, cursor: true};
    this.charsets = ['B', 'B'];
    this.charset = 0;
    this.tabs = new Set();
    for (let i = 0; i < 500; i += 8) this.tabs.add(i);
    this.main = this.lines = this.blankScreen();
    this.other = null;
    this.saved = {};
    this.last = ' ';
    this.dirty = new Set();
    this.touchAll();
    this.go('ground');
  }

  blank() { return {c: new Array(this.cols).fill(' '), s: new Uint16Array(this.cols).fill(this.erased())}; }
  blankScreen() { return Array.from({length: this.rows}, () => this.blank()); }
  // What is erased takes the background of now.
  erased() { return this.pen.bg === -1 ? 0 : this.styleId({fg: -1, bg: this.pen.bg, flags: 0}); }

  styleId(s) {
    const key = s.fg + ',' + s.bg + ',' + s.flags;
    let id = this.ids.get(key);
    if (id === undefined) {
      if (this.styles.length >= STYLES_MAX) return 0;
      id = this.styles.length;
      this.styles.push({...s});
      this.ids.set(key, id);
    }
    return id;
  }

  touch(y) { this.dirty.add(y); }
  touchAll() { for (let y = 0; y < this.rows; y++) this.dirty.add(y); }

  resize(rows, cols) {
    rows = Math.max(2, Math.min(300, rows));
    cols = Math.max(4, Math.min(500, cols));
    if (rows === this.rows && cols === this.cols) return;
    for (const screen of [this.lines, this.other]) if (screen) this.fit(screen, rows, cols, screen === this.lines);
    this.rows = rows;
    this.cols = cols;
    this.top = 0;
    this.bottom = rows - 1;
    this.x = Math.min(this.x, cols - 1);
    this.y = Math.max(0, Math.min(this.y, rows - 1));
    this.wrapNext = false;
    this.dirty.clear();
    this.touchAll();
  }

  // Lines above the cursor give way first.
  fit(screen, rows, cols, live) {
    const old = this.cols;
    this.cols = cols;
    for (const line of screen) {
      line.c.length = cols;
      const s = new Uint16Array(cols);
      s.set(line.s.subarray(0, cols));
      for (let x = old; x < cols; x++) line.c[x] = ' ';
      if (line.c[cols - 1] !== '' && WIDE.test(line.c[cols - 1])) line.c[cols - 1] = ' ';
      line.s = s;
    }
    while (screen.length > rows) {
      if (live && this.y >= rows) {
        const gone = screen.shift();
        if (!this.other) this.remember(gone);
        this.y--;
      } else screen.pop();
    }
    while (screen.length < rows) screen.push(this.blank());
    this.cols = old;
  }

  remember(line) {
    this.back.push(line);
    if (this.back.length > BACK_MAX) this.back.shift();
  }

  write(bytes) {
    const text = this.decoder.decode(bytes, {stream: true});
    for (const ch of text) this.take(ch);
  }

  go(state) {
    this.state = state;
    this.text = '';
  }

  take(ch) {
    const code = ch.codePointAt(0);
    if (this.state === 'string') return this.inString(ch, code);
    if (code === 0x1b) return this.go('escape');
    if (code === 0x18 || code === 0x1a) return this.go('ground');
    if (code < 0x20) return this.control(code);
    if (code === 0x7f || (code >= 0x80 && code < 0xa0)) return;
    if (this.state === 'ground') return this.put(ch);
    if (this.state === 'escape') return this.escape(ch);
    this.text += ch;
    if (this.state === 'csi') {
      if (code >= 0x40 && code <= 0x7e) { const t = this.text; this.go('ground'); this.csi(t); }
      else if (this.text.length > 256) this.go('ground');
    } else { // one more byte of an escape: ( ) * + # % SP
      const t = this.text;
      this.go('ground');
      this.escape2(t);
    }
  }

  // OSC, DCS, APC, PM and SOS up to their end; too long ones are dropped to the end all the same.
  inString(ch, code) {
    if (code === 0x07 || code === 0x9c || code === 0x18 || code === 0x1a || (this.esc && ch === '\\')) {
      const t = this.text, kind = this.kind;
      this.go('ground');
      if (kind === ']') this.osc(t);
    } else if (this.esc) {
      this.go('escape');
      this.take(ch);
    } else if (code !== 0x1b && this.text.length < STRING_MAX) this.text += ch;
    this.esc = code === 0x1b && this.state === 'string';
  }

  osc(text) {
    const m = /^[02];([^]*)$/.exec(text);
    if (m && this.onTitle) this.onTitle(m[1].replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '').slice(0, 256));
  }

  control(code) {
    if (code === 8) { this.x = Math.max(0, this.x - 1); this.wrapNext = false; }
    else if (code === 9) this.tab();
    else if (code >= 10 && code <= 12) { this.lineFeed(); if (this.modes.newline) this.x = 0; }
    else if (code === 13) { this.x = 0; this.wrapNext = false; }
    else if (code === 14) this.charset = 1;
    else if (code === 15) this.charset = 0;
    this.touch(this.y);
  }

  tab() {
    do this.x++; while (this.x < this.cols - 1 && !this.tabs.has(this.x));
    this.x = Math.min(this.x, this.cols - 1);
  }

  lineFeed() {
    if (this.onLine && !this.other) this.onLine(this.lines[this.y].c.join('').trimEnd());
    this.touch(this.y);
    this.wrapNext = false;
    if (this.y === this.bottom) this.scroll(1);
    else if (this.y < this.rows - 1) this.y++;
    this.touch(this.y);
  }

  // n > 0: up. Lines that leave the whole screen go to the history.
  scroll(n, top = this.top, bottom = this.bottom) {
    for (let i = Math.min(Math.abs(n), bottom - top + 1); i > 0; i--) {
      const gone = this.lines.splice(n > 0 ? top : bottom, 1)[0];
      this.lines.splice(n > 0 ? bottom : top, 0, this.blank());
      if (n > 0 && top === 0 && !this.other) this.remember(gone);
    }
    for (let y = top; y <= bottom; y++) this.touch(y);
  }

  put(ch) {
    if (this.charsets[this.charset] === '0' && LINES[ch]) ch = LINES[ch];
    if (ch > '~' && JOINS.test(ch)) return this.join(ch);
    const wide = ch > '\u10ff' && WIDE.test(ch) ? 2 : 1;
    if (this.wrapNext || this.x + wide > this.cols) {
      if (this.modes.wrap) { this.x = 0; this.lineFeed(); }
      else this.x = this.cols - wide;
    }
    this.wrapNext = false;
    const line = this.lines[this.y];
    if (this.modes.insert) this.shift(line, this.x, wide);
    this.set(line, this.x, ch);
    if (wide === 2) this.set(line, this.x + 1, '');
    this.last = ch;
    this.touch(this.y);
    this.x += wide;
    if (this.x >= this.cols) { this.x = this.cols - 1; this.wrapNext = true; }
  }

  // Half of a wide character does not stay alone.
  set(line, x, ch) {
    if (ch !== '' && line.c[x] === '' && x > 0) line.c[x - 1] = ' ';
    if (line.c[x + 1] === '' && x + 1 < this.cols && line.c[x] !== '') line.c[x + 1] = ' ';
    line.c[x] = ch;
    line.s[x] = this.style;
  }

  join(ch) {
    let x = this.wrapNext ? this.x : this.x - 1;
    const line = this.lines[this.y];
    if (x > 0 && line.c[x] === '') x--;
    if (x < 0 || line.c[x].length >= PARTS_MAX || /[\u200b-\u200f\u202a-\u202e\u2060-\u2069]/.test(ch)) return;
    line.c[x] += ch;
    this.touch(this.y);
  }

  shift(line, x, n) {
    for (let i = 0; i < n; i++) { line.c.splice(x, 0, ' '); line.c.pop(); }
    line.s.copyWithin(x + n, x, this.cols - n);
    line.s.fill(this.erased(), x, Math.min(x + n, this.cols));
  }

  escape(ch) {
    this.go('ground');
    if (ch === '[') this.go('csi');
    else if (']PX^_'.includes(ch)) { this.go('string'); this.kind = ch; this.esc = false; }
    else if ('()*+#% '.includes(ch)) { this.go('more'); this.text = ch; }
    else if (ch === '7') this.save();
    else if (ch === '8') this.restore();
    else if (ch === 'D') this.lineFeed();
    else if (ch === 'E') { this.x = 0; this.lineFeed(); }
    else if (ch === 'H') this.tabs.add(this.x);
    else if (ch === 'M') { if (this.y === this.top) this.scroll(-1); else if (this.y > 0) this.y--; this.touchAll(); }
    else if (ch === 'c') this.reset();
    else if (ch === '=' || ch === '>') this.modes.keypad = ch === '=';
  }

  escape2(t) {
    if (t[0] === '(') this.charsets[0] = t[1];
    else if (t[0] === ')') this.charsets[1] = t[1];
    else if (t === '#8') { for (const line of this.lines) { line.c.fill('E'); line.s.fill(0); } this.touchAll(); }
  }

  save() { this.saved[this.other ? 1 : 0] = {y: this.y, x: this.x, pen: {...this.pen}, style: this.style, charsets: [...this.charsets], charset: this.charset, origin: this.modes.origin}; }
  restore() {
    const s = this.saved[this.other ? 1 : 0] || {y: 0, x: 0, pen: {fg: -1, bg: -1, flags: 0}, style: 0, charsets: ['B', 'B'], charset: 0};
    this.touch(this.y);
    this.pen = {...s.pen};
    this.style = s.style;
    this.charsets = [...s.charsets];
    this.charset = s.charset;
    this.modes.origin = s.origin;
    this.move(s.y, s.x);
  }

  move(y, x) {
    this.touch(this.y);
    this.y = Math.max(0, Math.min(this.rows - 1, y));
    this.x = Math.max(0, Math.min(this.cols - 1, x));
    this.wrapNext = false;
    this.touch(this.y);
  }

  csi(t) {
    const m = /^([<=>?]?)([\d;:]*)([ !"$%'*]*)([@-~])$/.exec(t);
    if (!m) return;
    const p = m[2].split(';').map(v => Math.min(parseInt(v, 10) || 0, 9999)), n = Math.max(1, p[0]);
    if (m[3] === '!' && m[4] === 'p') return this.soft();
    if (m[3]) return;
    if (m[1] === '?') { if (m[4] === 'h' || m[4] === 'l') p.forEach(v => this.mode(v, m[4] === 'h')); else if (m[4] === 'J' || m[4] === 'K') this.erase(m[4], p[0]); return; }
    if (m[1] === '>' && m[4] === 'c') return this.reply('\x1b[>0;10;1c');
    if (m[1]) return;
    const line = this.lines[this.y];
    switch (m[4]) {
      case '@': this.shift(line, this.x, Math.min(n, this.cols - this.x)); this.touch(this.y); break;
      case 'A': this.move(Math.max(this.y - n, this.y >= this.top ? this.top : 0), this.x); break;
      case 'B': case 'e': this.move(Math.min(this.y + n, this.y <= this.bottom ? this.bottom : this.rows - 1), this.x); break;
      case 'C': case 'a': this.move(this.y, this.x + n); break;
      case 'D': this.move(this.y, this.x - n); break;
      case 'E': this.move(this.y + n, 0); break;
      case 'F': this.move(this.y - n, 0); break;
      case 'G': case '`': this.move(this.y, n - 1); break;
      case 'H': case 'f': this.moveTo(n - 1, Math.max(1, p[1] || 0) - 1); break;
      case 'I': for (let i = 0; i < Math.min(n, this.cols); i++) this.tab(); break;
      case 'J': case 'K': this.erase(m[4], p[0]); break;
      case 'L': if (this.y >= this.top && this.y <= this.bottom) this.scroll(-n, this.y, this.bottom); break;
      case 'M': if (this.y >= this.top && this.y <= this.bottom) this.scroll2(n); break;
      case 'P': this.cut(line, Math.min(n, this.cols - this.x)); break;
      case 'S': this.scroll(n); break;
      case 'T': if (p.length < 2) this.scroll(-n); break;
      case 'X': this.clear(this.y, this.x, Math.min(this.cols, this.x + n)); break;
      case 'Z': for (let i = 0; i < Math.min(n, this.cols); i++) { do this.x--; while (this.x > 0 && !this.tabs.has(this.x)); this.x = Math.max(0, this.x); } break;
      case 'b': for (let i = 0; i < Math.min(n, 4 * this.cols); i++) this.put(this.last); break;
      case 'c': if (p[0] === 0) this.reply('\x1b[?1;2c'); break;
      case 'd': this.moveTo(n - 1, this.x); break;
      case 'g': if (p[0] === 0) this.tabs.delete(this.x); else if (p[0] === 3) this.tabs.clear(); break;
      case 'h': case 'l': if (p[0] === 4) this.modes.insert = m[4] === 'h'; else if (p[0] === 20) this.modes.newline = m[4] === 'h'; break;
      case 'm': this.sgr(m[2]); break;
      case 'n': if (p[0] === 5) this.reply('\x1b[0n'); else if (p[0] === 6) this.reply(`\x1b[${this.y - (this.modes.origin ? this.top : 0) + 1};${this.x + 1}R`); break;
      case 'r': this.margins(p); break;
      case 's': this.save(); break;
      case 'u': this.restore(); break;
    }
  }

  scroll2(n) { const other = this.other; this.other = this.other || this.lines; this.scroll(n, this.y, this.bottom); this.other = other; }

  moveTo(y, x) { this.move(this.modes.origin ? Math.min(this.top + y, this.bottom) : y, x); }

  margins(p) {
    const top = Math.max(1, p[0]) - 1, bottom = Math.min(p[1] || this.rows, this.rows) - 1;
    if (top >= bottom) return;
    this.top = top;
    this.bottom = bottom;
    this.moveTo(0, 0);
  }

  soft() {
    this.modes = {wrap: true, cursor: true};
    this.top = 0;
    this.bottom = this.rows - 1;
    this.sgr('');
    this.charsets = ['B', 'B'];
  }

  cut(line, n) {
    line.c.splice(this.x, n);
    while (line.c.length < this.cols) line.c.push(' ');
    line.s.copyWithin(this.x, this.x + n);
    line.s.fill(this.erased(), this.cols - n);
    this.touch(this.y);
  }

  clear(y, from, to) {
    const line = this.lines[y];
    if (line.c[from] === '' && from > 0) line.c[from - 1] = ' ';
    if (to < this.cols && line.c[to] === '') line.c[to] = ' ';
    line.c.fill(' ', from, to);
    line.s.fill(this.erased(), from, to);
    this.touch(y);
  }

  erase(what, how) {
    const [y, x] = [this.y, this.x];
    this.wrapNext = false;
    if (what === 'K') return this.clear(y, how === 0 ? x : 0, how === 1 ? x + 1 : this.cols);
    if (how === 3) { this.back = []; return; }
    if (how === 0) this.clear(y, x, this.cols);
    if (how === 1) this.clear(y, 0, x + 1);
    for (let i = how === 0 ? y + 1 : 0; i < (how === 1 ? y : this.rows); i++) this.clear(i, 0, this.cols);
  }

  mode(n, on) {
    const names = {1: 'appKeys', 6: 'origin', 7: 'wrap', 25: 'cursor', 1000: 'mouse', 1002: 'mouse', 1003: 'mouse', 1004: 'focus', 1006: 'sgrMouse', 2004: 'paste'};
    if (n === 47 || n === 1047 || n === 1049) return this.alternate(n, on);
    if (n === 1048) return on ? this.save() : this.restore();
    if (!names[n]) return;
    this.modes[names[n]] = on;
    if (n === 6) this.moveTo(0, 0);
    this.touch(this.y);
  }

  alternate(n, on) {
    if (on === !!this.other) return;
    if (on) {
      if (n === 1049) this.save();
      this.other = this.lines;
      this.lines = this.blankScreen();
    } else {
      this.lines = this.other;
      this.other = null;
      if (n === 1049) this.restore();
    }
    this.wrapNext = false;
    this.touchAll();
  }

  colour(parts) { // of 38, 48, 58; takes its numbers off parts
    const kind = parts.shift();
    if (kind === 5) return Math.max(0, Math.min(255, parts.shift() || 0));
    if (kind !== 2) return -1;
    const [r, g, b] = parts.splice(0, 3).map(v => Math.max(0, Math.min(255, v || 0)));
    return 256 + (r << 16 | (g || 0) << 8 | (b || 0));
  }

  sgr(text) {
    const pen = this.pen, items = text.split(';');
    const on = {1: BOLD, 2: DIM, 3: ITALIC, 4: UNDER, 5: BLINK, 7: INVERSE, 8: HIDDEN, 9: STRUCK};
    const off = {22: BOLD | DIM, 23: ITALIC, 24: UNDER, 25: BLINK, 27: INVERSE, 28: HIDDEN, 29: STRUCK};
    while (items.length) {
      const item = items.shift();
      const sub = item.split(':').map(v => parseInt(v, 10));
      const n = sub[0] || 0;
      if (n === 0) Object.assign(pen, {fg: -1, bg: -1, flags: 0});
      else if (n === 4 && sub[1] === 0) pen.flags &= ~UNDER;
      else if (on[n]) pen.flags |= on[n];
      else if (n === 21) pen.flags |= UNDER;
      else if (off[n]) pen.flags &= ~off[n];
      else if (n === 38 || n === 48 || n === 58) {
        let parts;
        if (sub.length > 1) { parts = sub.slice(1); if (parts[0] === 2 && parts.length > 4) parts.splice(1, 1); }
        else { parts = items.splice(0, items[0] === '5' ? 2 : 4).map(v => parseInt(v, 10)); }
        const c = this.colour(parts);
        if (n === 38) pen.fg = c; else if (n === 48) pen.bg = c;
      }
      else if (n >= 30 && n <= 37) pen.fg = n - 30;
      else if (n >= 40 && n <= 47) pen.bg = n - 40;
      else if (n >= 90 && n <= 97) pen.fg = n - 82;
      else if (n >= 100 && n <= 107) pen.bg = n - 92;
      else if (n === 39) pen.fg = -1;
      else if (n === 49) pen.bg = -1;
    }
    this.style = this.styleId(pen);
  }

  reply(text) { if (this.answer) this.answer(text); }

  // All of it as text, for the page that comes after this one, and out of it.
  pack() {
    const without = ['decoder', 'ids', 'dirty', 'main'];
    return JSON.stringify(this, (k, v) => without.includes(k) ? undefined : k === 'back' ? v.slice(-200) : v instanceof Set || v instanceof Uint16Array ? [...v] : v);
  }

  unpack(text) {
    const {rows, cols} = this;
    Object.assign(this, JSON.parse(text));
    this.tabs = new Set(this.tabs);
    this.ids = new Map(this.styles.map((s, i) => [s.fg + ',' + s.bg + ',' + s.flags, i]));
    for (const lines of [this.lines, this.other, this.back]) for (const line of lines || []) line.s = Uint16Array.from(line.s);
    this.resize(rows, cols);
    this.touchAll();
  }
}

// Of 256: the first 16 are classes of the style, the rest is computed.
function paint(n) {
  if (n >= 256) return '#' + (n - 256).toString(16).padStart(6, '0');
  if (n >= 232) { const v = 8 + 10 * (n - 232); return `rgb(${v},${v},${v})`; }
  const level = v => v ? 55 + 40 * v : 0;
  n -= 16;
  return `rgb(${level(Math.floor(n / 36))},${level(Math.floor(n / 6) % 6)},${level(n % 6)})`;
}

class Term {
  constructor(el, onData) {
    this.el = el;
    this.onData = onData; // null: it only shows
    this.screen = new Screen(24, 80);
    this.view = 0; // lines scrolled back
    this.rowsEl = document.createElement('div');
    this.rowsEl.className = 'rows';
    this.rowsEl.setAttribute('aria-hidden', 'true');
    this.spoken = document.createElement('div');
    this.spoken.className = 'vh';
    this.spoken.setAttribute('role', 'log');
    el.append(this.rowsEl, this.spoken);
    this.pendingLines = [];
    this.drawn = [];
    this.waiters = [];
    this.screen.onLine = line => { if (line && this.pendingLines.length < 4) this.pendingLines.push(line); };
    if (onData) {
      this.screen.answer = onData;
      this.listen();
    }
    this.el.addEventListener('wheel', e => this.wheel(e), {passive: false});
    this.measure();
    new ResizeObserver(() => this.measure()).observe(el);
  }

  // Rows and columns that fit.
  measure() {
    const probe = document.createElement('span');
    probe.textContent = 'M'.repeat(50);
    this.rowsEl.append(probe);
    const w = probe.getBoundingClientRect().width / 50;
    probe.remove();
    const box = getComputedStyle(this.el);
    const width = this.el.clientWidth - parseFloat(box.paddingLeft) - parseFloat(box.paddingRight);
    const height = this.el.clientHeight - parseFloat(box.paddingTop) - parseFloat(box.paddingBottom);
    if (!(w > 0) || width < 40) return;
    const rows = Math.floor(height / 18), cols = Math.floor(width / w);
    const [r, c] = [this.screen.rows, this.screen.cols];
    this.screen.resize(rows, cols);
    if ((r !== this.screen.rows || c !== this.screen.cols) && this.onSize) this.onSize(this.screen.rows, this.screen.cols);
    this.schedule();
  }

  write(bytes, done) {
    this.screen.write(bytes);
    if (done) this.waiters.push(done);
    this.schedule();
  }

  schedule() {
    if (this.frame) return;
    this.frame = true;
    // A tab in the background draws rarely, but goes on to take what comes.
    const draw = () => { if (this.frame) { this.frame = false; this.draw(); } };
    requestAnimationFrame(draw);
    setTimeout(draw, 250);
  }

  draw() {
    const s = this.screen, back = s.back.length;
    this.view = Math.min(this.view, back);
    while (this.rowsEl.children.length < s.rows) this.rowsEl.append(document.createElement('div'));
    while (this.rowsEl.children.length > s.rows) this.rowsEl.lastChild.remove();
    const all = this.view !== this.lastView || this.view > 0;
    if (this.lastCursor !== undefined) s.dirty.add(this.lastCursor);
    s.dirty.add(s.y);
    for (let y = 0; y < s.rows; y++) {
      if (!all && !s.dirty.has(y)) continue;
      const line = y < this.view ? s.back[back - this.view + y] : s.lines[y - this.view];
      this.drawRow(this.rowsEl.children[y], line, y - this.view === s.y && s.modes.cursor && this.onData ? s.x : -1);
    }
    this.lastView = this.view;
    this.lastCursor = s.y;
    s.dirty.clear();
    this.speak();
    const waiters = this.waiters;
    this.waiters = [];
    for (const fn of waiters) fn();
  }

  drawRow(el, line, cursor) {
    const parts = [];
    for (let x = 0; x < line.c.length;) {
      const from = x, style = line.s[x], wide = line.c[x + 1] === '';
      let text = line.c[x++];
      if (wide) x++;
      else while (x < line.c.length && line.s[x] === style && line.c[x + 1] !== '' && x !== cursor && from !== cursor) text += line.c[x++];
      parts.push(this.span(text, style, wide, from === cursor));
    }
    el.replaceChildren(...parts);
  }

  span(text, id, wide, cursor) {
    const {fg, bg, flags} = this.screen.styles[id];
    if (id === 0 && !wide && !cursor) return document.createTextNode(text);
    const el = document.createElement('span'), list = el.classList;
    const inverse = flags & INVERSE;
    let f = inverse ? bg : fg, b = inverse ? fg : bg;
    if (flags & BOLD && f >= 0 && f < 8) f += 8;
    if (f === -1) { if (inverse) list.add('inv-f'); } else if (f < 16) list.add('f' + f); else el.style.color = paint(f);
    if (b === -1) { if (inverse) list.add('inv-b'); } else if (b < 16) list.add('g' + b); else el.style.background = paint(b);
    for (const [flag, name] of [[BOLD, 't-b'], [DIM, 't-d'], [ITALIC, 't-i'], [UNDER, 't-u'], [STRUCK, 't-s'], [HIDDEN, 't-h']]) if (flags & flag) list.add(name);
    if (wide) list.add('wide');
    if (cursor) list.add('cur', ...(this.focused ? [] : ['blur']));
    el.textContent = text;
    return el;
  }

  speak() {
    if (!this.pendingLines.length || performance.now() - (this.spokenAt || 0) < 200) return;
    this.spokenAt = performance.now();
    for (const line of this.pendingLines.splice(0)) {
      const p = document.createElement('p');
      p.textContent = line.slice(0, 400);
      this.spoken.append(p);
    }
    while (this.spoken.children.length > 30) this.spoken.firstChild.remove();
  }

  wheel(e) {
    const lines = Math.sign(e.deltaY) * Math.max(1, Math.round(Math.abs(e.deltaY) / 40)), s = this.screen;
    e.preventDefault();
    if (s.modes.mouse && this.onData) return this.mouse(e, lines < 0 ? 64 : 65);
    if (s.other) { if (this.onData) this.onData((lines < 0 ? '\x1b[A' : '\x1b[B').repeat(Math.abs(lines))); return; }
    this.view = Math.max(0, Math.min(s.back.length, this.view - lines));
    s.touchAll();
    this.schedule();
  }

  mouse(e, button, up) {
    const box = this.rowsEl.getBoundingClientRect(), s = this.screen;
    const x = Math.floor((e.clientX - box.left) / (box.width / s.cols)) + 1, y = Math.floor((e.clientY - box.top) / 18) + 1;
    if (!s.modes.sgrMouse || x < 1 || y < 1 || x > s.cols || y > s.rows) return;
    this.onData(`\x1b[<${button};${x};${y}${up ? 'm' : 'M'}`);
  }

  listen() {
    const input = this.input = document.createElement('textarea');
    input.setAttribute('aria-label', 'Terminal input. Control, Shift and M leave it.');
    for (const [k, v] of [['autocomplete', 'off'], ['autocapitalize', 'off'], ['autocorrect', 'off'], ['spellcheck', 'false']]) input.setAttribute(k, v);
    this.el.append(input);
    this.el.addEventListener('mouseup', e => {
      if (this.screen.modes.mouse && e.button < 3) this.mouse(e, e.button, true);
      if (String(getSelection()) === '') input.focus({preventScroll: true});
    });
    this.el.addEventListener('mousedown', e => { if (this.screen.modes.mouse && e.button < 3 && !e.shiftKey) { e.preventDefault(); this.mouse(e, e.button); input.focus({preventScroll: true}); } });
    input.addEventListener('keydown', e => this.key(e));
    input.addEventListener('input', e => { if (!e.isComposing) this.flushInput(); });
    input.addEventListener('compositionend', () => this.flushInput());
    input.addEventListener('paste', e => { e.preventDefault(); this.paste(e.clipboardData.getData('text')); });
    for (const [name, on] of [['focus', true], ['blur', false]]) input.addEventListener(name, () => {
      this.focused = on;
      if (this.screen.modes.focus) this.onData(on ? '\x1b[I' : '\x1b[O');
      this.schedule();
    });
  }

  flushInput() {
    const text = this.input.value;
    this.input.value = '';
    if (text) this.type(text);
  }

  type(text) {
    this.view = 0;
    if (this.control && text.length === 1) { this.onControlUsed(); text = Term.ctrl(text) || text; }
    this.onData(text.replace(/\n/g, '\r'));
  }

  static ctrl(key) {
    const c = key.toUpperCase().charCodeAt(0);
    if (key === ' ' || key === '@') return '\0';
    if (key === '?') return '\x7f';
    return key.length === 1 && c >= 64 && c < 96 ? String.fromCharCode(c - 64) : null;
  }

  key(e) {
    if (e.isComposing || e.keyCode === 229) return;
    if (e.ctrlKey && e.shiftKey) {
      if (e.code === 'KeyM') { e.preventDefault(); this.input.blur(); document.querySelector('.tabs a[aria-current]')?.focus(); }
      return; // copy, paste and the browser's own
    }
    const bytes = this.keyBytes(e);
    if (bytes === null) return;
    e.preventDefault();
    this.view = 0;
    this.onData(bytes);
  }

  keyBytes(e) {
    const mod = 1 + (e.shiftKey ? 1 : 0) + (e.altKey ? 2 : 0) + (e.ctrlKey ? 4 : 0), k = e.key;
    const arrows = {ArrowUp: 'A', ArrowDown: 'B', ArrowRight: 'C', ArrowLeft: 'D', Home: 'H', End: 'F'};
    const tildes = {Insert: 2, Delete: 3, PageUp: 5, PageDown: 6, F5: 15, F6: 17, F7: 18, F8: 19, F9: 20, F10: 21, F11: 23, F12: 24};
    const plain = {Enter: '\r', Backspace: e.ctrlKey ? '\b' : '\x7f', Tab: e.shiftKey ? '\x1b[Z' : '\t', Escape: '\x1b'};
    if (e.metaKey) return null;
    if (k === 'PageUp' && e.shiftKey) { this.view += this.screen.rows - 1; this.screen.touchAll(); this.schedule(); return ''; }
    if (arrows[k]) return mod > 1 ? `\x1b[1;${mod}${arrows[k]}` : (this.screen.modes.appKeys ? '\x1bO' : '\x1b[') + arrows[k];
    if (/^F[1-4]$/.test(k)) return mod > 1 ? `\x1b[1;${mod}${'PQRS'[k[1] - 1]}` : '\x1bO' + 'PQRS'[k[1] - 1];
    if (tildes[k]) return `\x1b[${tildes[k]}${mod > 1 ? ';' + mod : ''}~`;
    if (plain[k]) return (e.altKey ? '\x1b' : '') + plain[k];
    if (k.length !== 1) return null;
    if (e.ctrlKey && !e.altKey) return Term.ctrl(k);
    if (e.altKey && !e.getModifierState('AltGraph')) return '\x1b' + k;
    return null; // text comes by the input event
  }

  paste(text) {
    text = text.replace(/\r?\n/g, '\r').replace(/\x1b/g, '');
    if (this.screen.modes.paste) this.onData(`\x1b[200~${text}\x1b[201~`);
    else if (!/\r./.test(text) || confirm('Paste several lines? Each may run as a command.')) this.onData(text);
  }
}

// A session of the API's (docs/exec.md): its frames are the WebSocket's messages. It goes on when its connection breaks or the page is loaded anew:
// the daemon keeps what this side has not seen, for a minute.
const FRAME = {magic: 0x31414742, DONE: 8, DATA: 16, CREDIT: 18, RESIZE: 21, KEPT: 64};

class Session {
  // former: {id, seen} of a session to go on with; its screen is in term already.
  constructor(url, query, term, events, former) {
    this.url = url;
    this.term = term;
    this.events = events; // on(note), end(text)
    this.queue = [];
    this.id = former ? former.id : [...crypto.getRandomValues(new Uint8Array(16))].map(b => (b + 256).toString(16).slice(1)).join('');
    this.seen = former ? former.seen : 0;
    this.connect(former ? {} : query);
  }

  connect(query) {
    const s = this.term.screen;
    this.owed = 0;
    this.ready = false; // until KEPT says what is there
    const ws = this.ws = new WebSocket(`${this.url}?${new URLSearchParams({rows: s.rows, cols: s.cols, keep: this.id, seen: this.seen, ...query})}`);
    ws.binaryType = 'arraybuffer';
    ws.onmessage = e => { if (ws === this.ws) this.take(e.data); };
    ws.onclose = () => {
      if (this.ended || ws !== this.ws) return;
      this.ready = false;
      if (!this.lostAt || Date.now() - this.lostAt > 60000) return this.end('The connection ended.');
      this.events.on('The connection broke. Connecting again…');
      setTimeout(() => { if (!this.ended) this.connect({}); }, 1000);
    };
  }

  end(text) {
    this.ended = true;
    this.events.end(text);
  }

  send(type, sub, payload) {
    if (!this.ready) return;
    const out = new Uint8Array(16 + payload.length), view = new DataView(out.buffer);
    view.setUint32(0, FRAME.magic, true);
    view.setUint32(4, payload.length, true);
    view.setUint32(8, 1, true);
    view.setUint16(12, type, true);
    view.setUint16(14, sub, true);
    out.set(payload, 16);
    this.ws.send(out);
    this.lostAt = Date.now();
  }

  type(text) {
    this.used = true;
    const bytes = new TextEncoder().encode(text);
    for (let i = 0; i < bytes.length; i += 16384) this.queue.push(bytes.subarray(i, i + 16384));
    this.pump();
  }

  pump() {
    while (this.ready && this.queue.length && this.queue[0].length <= this.window) {
      const piece = this.queue.shift();
      this.window -= piece.length;
      this.send(FRAME.DATA, 0, piece);
    }
  }

  size(rows, cols) {
    const p = new Uint8Array(4), view = new DataView(p.buffer);
    view.setUint16(0, rows, true);
    view.setUint16(2, cols, true);
    this.send(FRAME.RESIZE, 0, p);
  }

  // More is asked for when what came is drawn: so the program waits, not this tab's memory.
  credit(ws, n) {
    if (ws !== this.ws || (this.owed += n) < 16384) return; // of a connection before: "seen" said it
    const p = new Uint8Array(4);
    new DataView(p.buffer).setUint32(0, this.owed, true);
    this.owed = 0;
    this.send(FRAME.CREDIT, 1, p);
  }

  // Where the daemon goes on. What was seen of it here and is not on this screen may have been answered: not again.
  kept(view) {
    const at = Number(view.getBigUint64(16, true)), s = this.term.screen, fresh = at !== this.seen;
    const another = fresh && at === 0;
    this.window = view.getUint32(24, true); // what the guest still takes
    this.silent = fresh ? view.getUint32(28, true) : 0;
    this.seen = at;
    this.ready = true;
    if (fresh) { s.reset(); this.size(s.rows - 1, s.cols); }
    this.size(s.rows, s.cols);
    this.events.on(another ? 'The session before has ended. This is another.' : '');
    this.pump();
  }

  data(body) {
    const s = this.term.screen, answer = s.answer, ws = this.ws;
    if (this.silent > 0) { s.answer = null; this.silent -= body.length; }
    this.seen += body.length;
    this.term.write(body, () => this.credit(ws, body.length));
    s.answer = answer;
  }

  take(data) {
    if (data.byteLength < 16) return;
    const view = new DataView(data), type = view.getUint16(12, true), body = new Uint8Array(data, 16);
    this.lostAt = Date.now();
    if (type === FRAME.DATA) this.data(body);
    else if (type === FRAME.KEPT && body.length === 16) this.kept(view);
    else if (type === FRAME.CREDIT && body.length === 4) { this.window += view.getUint32(16, true); this.pump(); }
    else if (type === FRAME.DONE && body.length === 8) {
      const error = view.getInt32(16, true), status = view.getInt32(20, true);
      this.end(error ? 'The session ended: the VM went away.' : status & 127 ? `Ended by signal ${status & 127}.` : `Ended with status ${status >> 8 & 255}.`);
    }
  }

  close() { this.ended = true; this.ws.close(); }
}
