"use strict";
// The review page. Data reach the document as text nodes only, decisions leave through one queue that forgets nothing.
(() => {
  const $ = (id) => document.getElementById(id);
  const PAGE = 200; // cards fetched at a time
  const MOST = 250000; // cards in the list at once: browsers draw nothing taller than some 16 million pixels
  const KEEP = 32; // whole cards kept in memory
  const AHEAD = 4; // whole cards fetched before they are needed
  const PATIENCE = 20000; // milliseconds after which a request counts as lost
  const token = new URLSearchParams(location.search).get("token") || "";
  const wide = matchMedia("(min-width: 62rem) and (min-height: 34rem)");

  const now = {
    session: null, // what /api/session said
    annotator: "",
    progress: null, // the server's; what is not saved yet is added when shown
    told: "", // the progress on the screen
    last: null, // the newest decision, for undoing it while it is on its way
    card: null, // {row, index, slot, details}: what is on the screen
    since: 0, // when the card was shown
    hiddenFor: 0, // milliseconds the tab was out of sight since then
  };

  // ---------------------------------------------------------------- small things

  /** Make an element: attributes by name, `on…` as listeners, children as nodes or text. */
  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (typeof value === "function") node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
    return node;
  }

  const DIRECTION = /[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]/g; // can make one name read as another
  const OVERRIDE = /[\u202a-\u202e\u2066-\u2069]/g;
  const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ud800-\udfff]/gu; // and halves of characters
  const ACCENTS = /([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+/g;
  /** Text of the data on several lines, without what would disturb the lines around it. */
  const body = (text) => String(text).replace(/\r\n?/g, "\n").replace(OVERRIDE, "").replace(CONTROL, "\ufffd").replace(ACCENTS, "$1");
  /** A name or preview on one line. */
  const line = (text) => body(text).replace(DIRECTION, "").replace(/\s+/g, " ").trim();
  const named = (label) => (label === null || label === undefined ? "no label" : line(label) || "(empty)");

  /** A name that may break behind its underscores, dots and slashes rather than within a word. */
  const breakable = (label) => named(label).split(/(?<=[_./\\-])(?=[^_./\\-])/).flatMap((part, place) => (place ? [make("wbr"), part] : [part]));

  const count = (value) => Math.round(value).toLocaleString("en");
  const plural = (value, one, many = `${one}s`) => `${count(value)} ${Math.round(value) === 1 ? one : many}`;
  const share = (value) => `${Math.round(100 * value)}%`;
  /** A model's probability: never quite 0 or 100 %. */
  const belief = (value) => (value >= 0.995 ? ">99%" : value < 0.005 ? "<1%" : share(value));
  const inWords = (value) => belief(value).replace(">", "over ").replace("<", "under ");
  const isShare = (metric) => /accuracy|precision|recall|f1/i.test(metric || "");
  const signed = (value, digits) => {
    const text = Math.abs(value).toFixed(digits);
    return Number(text) === 0 ? "0" : (value > 0 ? "+" : "−") + text;
  };
  function duration(seconds) {
    if (seconds < 60) return "under 1 min";
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? `about ${minutes} min` : `about ${Math.floor(minutes / 60)} h ${minutes % 60 ? `${minutes % 60} min` : ""}`.trim();
  }

  const store = {
    get(key) { try { return localStorage.getItem(key); } catch { return null; } },
    set(key, value) { try { localStorage.setItem(key, value); } catch { /* full or forbidden: the page itself still knows */ } },
    drop(key) { try { localStorage.removeItem(key); } catch { /* as above */ } },
    keys() { try { return Object.keys(localStorage); } catch { return []; } },
  };

  /** Tell a screen reader, shortly, and nobody twice. */
  const say = (text) => { $("said").textContent = text; };
  const later = (wait, work) => {
    let timer = 0;
    return (...values) => { clearTimeout(timer); timer = setTimeout(() => work(...values), wait); };
  };

  // ---------------------------------------------------------------- the server

  class Trouble extends Error {
    constructor(status, message) { super(message); this.status = status; }
    get passing() { return [0, 403, 408, 429].includes(this.status) || this.status >= 500; }
  }

  async function request(path, options = {}) {
    const { signal, ...rest } = options;
    const patience = AbortSignal.timeout(options.body instanceof Blob ? 10 * PATIENCE : PATIENCE);
    const headers = { "X-Labelwise-Token": token, ...(options.body ? { "Content-Type": "application/json" } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...rest, headers, cache: "no-store", signal: signal ? AbortSignal.any([signal, patience]) : patience });
    } catch (error) {
      if (signal && signal.aborted) throw error;
      throw new Trouble(0, "The server does not answer.");
    }
    if (answer.ok) return answer;
    const said = await answer.json().catch(() => ({}));
    throw new Trouble(answer.status, said.error || `The server answered with status ${answer.status}.`);
  }
  const fetched = async (path, query = {}, signal = undefined) => {
    const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== undefined));
    return (await request(`${path}?${asked}`, { signal })).json();
  };
  const posted = async (path, content) => (await request(path, { method: "POST", body: JSON.stringify(content) })).json();

  /** Whether the server answers; while it does not, asks again and again, slower each time. */
  const link = {
    trouble: null,
    wait: 0,
    timer: 0,
    worked() {
      const back = this.trouble !== null;
      this.trouble = null;
      this.wait = 0;
      clearTimeout(this.timer);
      if (back) { say("The server answers again."); queue.refresh(); card.again(); }
      if (back) outbox.send();
      drawTrouble();
    },
    failed(trouble) {
      if (!trouble.passing) return;
      if (this.trouble === null) say(trouble.message);
      this.trouble = trouble;
      this.wait = Math.min(this.wait ? 2 * this.wait : 1000, 8000);
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), this.wait);
      drawTrouble();
    },
    async ask() {
      if (outbox.items.some((item) => !item.refused)) await outbox.send();
      else await refreshProgress().catch(() => {}); // it has told of its trouble
    },
  };

  // ---------------------------------------------------------------- decisions on their way

  /** Decisions not saved yet: kept here and in the browser's storage until the server has them, sent one after the other. */
  const outbox = {
    tab: crypto.randomUUID(),
    items: [],
    flying: null, // the one on its way
    busy: false,
    idle: Promise.resolve(), // until nothing is on its way

    prefix: () => `labelwise-unsent:${now.session.id || ""}:`,
    keep(item) { if (now.session.id) store.set(this.prefix() + item.key, JSON.stringify({ ...item, tab: this.tab })); },
    forget(item) {
      this.items = this.items.filter((other) => other !== item);
      store.drop(this.prefix() + item.key);
    },

    /** Take over what a closed or crashed page of this run left unsent; living tabs hold a lock and send their own. */
    async adopt() {
      if (!navigator.locks || !now.session.id) return;
      navigator.locks.request(`labelwise-tab:${this.tab}`, () => new Promise(() => {}));
      const held = new Set((await navigator.locks.query()).held.map((lock) => lock.name));
      const left = store.keys().filter((key) => key.startsWith(this.prefix())).map((key) => JSON.parse(store.get(key)));
      const orphans = left.filter((item) => !held.has(`labelwise-tab:${item.tab}`)).sort((a, b) => a.at - b.at);
      this.items.unshift(...orphans);
      this.send();
    },

    add(item) {
      this.items.push(item);
      this.keep(item);
      this.send();
    },
    /** The newest decision of this annotator that has not left yet, if the newest of all has not. */
    newest() {
      const mine = this.items.filter((item) => item.annotator === now.annotator);
      const last = mine[mine.length - 1];
      return last && last !== this.flying ? last : null;
    },
    pending: (row) => outbox.items.some((item) => item.row === row),

    send() {
      if (!this.busy) this.idle = this.sendAll();
      return this.idle;
    },
    async sendAll() {
      this.busy = true;
      let item;
      while ((item = this.items.find((other) => !other.refused))) {
        this.flying = item;
        drawTrouble();
        try {
          const { row, annotator, action, label, seconds } = item;
          const answer = await posted("/api/decisions", { row, annotator, action, label: label ?? undefined, seconds });
          this.flying = null;
          this.forget(item);
          saved(item, answer);
        } catch (trouble) {
          this.flying = null;
          if (trouble.passing !== false) { link.failed(trouble); break; }
          item.refused = trouble.message;
          this.keep(item);
          say(`Not saved: ${trouble.message}`);
        }
      }
      this.busy = false;
      drawTrouble();
    },
  };

  function saved(item, answer) {
    const slot = queue.slot(item.row);
    if (slot && !outbox.pending(item.row)) slot.saved = slot.state;
    if (slot) queue.settled(item.row);
    cards.forget(item.row);
    if (item.annotator === now.annotator) now.progress = answer.progress;
    link.worked();
    drawProgress();
    queue.draw();
    if (!now.card && $("card").querySelector(".finished")) drawFinished(); // its numbers have changed
  }

  function drawTrouble() {
    const refused = outbox.items.filter((item) => item.refused).length;
    const waiting = outbox.items.length - refused;
    document.body.dataset.unsent = outbox.items.length;
    $("trouble").hidden = !link.trouble && !refused;
    if ($("trouble").hidden) return;
    const key = link.trouble && link.trouble.status === 403;
    const what = !link.trouble ? "" : key
      ? "The server does not accept this page's key. Open the address that labelwise review printed. "
      : link.trouble.status === 0 ? "The server does not answer; the page tries again by itself. " : `${link.trouble.message} The page tries again by itself. `;
    const kept = waiting ? `${plural(waiting, "decision is", "decisions are")} not saved yet and kept here until then. ` : "";
    const bad = refused ? `${plural(refused, "decision was", "decisions were")} refused.` : "";
    const text = (what + kept + bad).trim();
    if ($("trouble-text").textContent !== text) $("trouble-text").textContent = text;
    $("unsent").hidden = !outbox.items.length;
    $("unsent").querySelector("summary").textContent = `${plural(outbox.items.length, "unsaved decision")}`;
    $("unsent").querySelector("ul").replaceChildren(...outbox.items.slice(0, 200).map(unsentItem));
  }

  function unsentItem(item) {
    const told = `Row ${item.row}: ${item.action === "skip" ? "skipped" : named(item.label)} (${line(item.annotator)})`;
    if (!item.refused) return make("li", {}, told);
    const discard = () => { outbox.forget(item); restore(item); drawTrouble(); drawProgress(); };
    return make("li", {}, `${told}. ${item.refused} `, make("button", { type: "button", onclick: discard }, "Discard"));
  }

  // ---------------------------------------------------------------- the queue

  /** The list of cards: places for all of them, filled page by page as they come into view; only rows in view are elements. */
  const queue = {
    slots: [], // card or undefined; the order is the server's
    total: 0, // cards that the server has in this view, including `gone`
    where: new Map(), // row -> index
    gone: new Set(), // indices that the server no longer counts in this view
    loads: new Map(), // page -> promise
    rows: new Map(), // index -> element
    view: { state: "todo", kind: "", search: "" },
    life: 0, // grows with each load: answers to an older list are dropped
    height: 60,

    /** Load the list anew; stay at `near`'s row if it can be found. */
    async load(near = null) {
      const life = ++this.life;
      const start = near && near.index !== null ? Math.max(0, near.index - this.goneBefore(near.index)) : 0;
      const from = Math.floor(start / PAGE) * PAGE;
      await outbox.idle;
      const pages = await Promise.all([...new Set([0, from])].map((offset) => this.ask(offset)));
      if (life !== this.life) return false;
      const { total } = pages[0];
      Object.assign(this, { total, slots: new Array(Math.min(total, MOST)), where: new Map(), gone: new Set(), loads: new Map() });
      pages.forEach((page) => this.fill(page.offset, page.cards));
      this.rows.forEach((row) => row.remove());
      this.rows.clear();
      $("list").scrollTop = 0;
      this.draw();
      $("count").textContent = this.told();
      return true;
    },
    async ask(offset) {
      return fetched("/api/cards", { ...this.view, annotator: now.annotator, offset, limit: PAGE });
    },
    fill(from, found) {
      this.loads.set(Math.floor(from / PAGE), Promise.resolve());
      found.forEach((slot, place) => {
        if (from + place >= this.slots.length) return;
        slot.saved = slot.state;
        const unsent = outbox.items.filter((item) => item.row === slot.row && item.annotator === now.annotator).pop();
        if (unsent) Object.assign(slot, after(unsent));
        this.slots[from + place] = slot;
        this.where.set(slot.row, from + place);
      });
    },

    slot(row) { return this.slots[this.where.get(row)]; },
    goneBefore(index) {
      let found = 0;
      for (const place of this.gone) found += place < index;
      return found;
    },
    /** Note whether the server still counts a row in this view, now that it has its decision. */
    settled(row) {
      if (!["todo", "done", "skipped"].includes(this.view.state)) return;
      const index = this.where.get(row);
      if (this.slots[index].saved === this.view.state) this.gone.delete(index);
      else this.gone.add(index);
    },

    /** Have the page of a card; a list that has changed on the server is loaded anew. */
    need(index) {
      const page = Math.floor(index / PAGE);
      if (index < 0 || index >= this.slots.length) return Promise.resolve();
      if (!this.loads.has(page)) this.loads.set(page, this.loadPage(page, this.life));
      return this.loads.get(page);
    },
    async loadPage(page, life) {
      try {
        await outbox.idle;
        const gone = this.gone.size;
        const found = await this.ask(page * PAGE - this.goneBefore(page * PAGE));
        if (life !== this.life) return;
        if (gone !== this.gone.size) { await this.loadPage(page, life); return; }
        if (found.total + gone !== this.total) { await this.reload(); return; }
        this.fill(page * PAGE, found.cards);
        this.draw();
      } catch (trouble) {
        this.loads.delete(page);
        link.failed(trouble);
      }
    },
    async reload() {
      const at = now.card;
      if (!(await this.load(at))) return;
      if (at) at.index = this.where.get(at.row) ?? null;
      this.draw();
      if (at && at.index !== null) this.reveal(at.index);
    },
    refresh() { if (!this.slots.length || this.holes()) this.draw(); },
    holes() { return [...this.rows.keys()].some((index) => !this.slots[index]); },

    // drawing
    draw() {
      if (!now.session) return;
      const list = $("list");
      list.classList.toggle("none", !this.slots.length);
      $("spacer").style.height = `${this.slots.length * this.height}px`;
      const first = Math.max(0, Math.floor(list.scrollTop / this.height) - 4);
      const last = Math.min(this.slots.length, Math.ceil((list.scrollTop + list.clientHeight) / this.height) + 4);
      for (const [index, row] of this.rows) if (index < first || index >= last) { row.remove(); this.rows.delete(index); }
      for (let index = first; index < last; index++) this.drawRow(index);
      const current = now.card && this.rows.get(now.card.index);
      if (current) list.setAttribute("aria-activedescendant", current.id);
      else list.removeAttribute("aria-activedescendant");
      this.fetchSeen(first, last);
    },
    /** Fetch what is in view once scrolling has come to rest: flying past ten thousand cards fetches none of them. */
    fetchSeen: later(60, (first, last) => {
      for (let page = Math.floor(first / PAGE); page * PAGE < last; page++) queue.need(page * PAGE);
    }),
    told() {
      const { total } = this;
      const filtered = this.view.kind || this.view.search ? " found" : "";
      const open = this.view.state === "todo" ? total - [...this.where.values()].filter((i) => this.slots[i].state !== "todo").length : total;
      return this.view.state === "todo" ? `${count(open)} to decide${filtered}` : `${plural(total, "card")}${filtered}`;
    },
    drawRow(index) {
      let row = this.rows.get(index);
      if (!row) {
        row = rowElement(index, this.slots.length);
        row.style.transform = `translateY(${index * this.height}px)`;
        this.rows.set(index, row);
        $("list").append(row);
      }
      const chosen = now.card !== null && now.card.index === index;
      if (row.getAttribute("aria-selected") !== String(chosen)) row.setAttribute("aria-selected", String(chosen));
      fillRow(row, this.slots[index]);
    },
    reveal(index) {
      const list = $("list");
      const top = index * this.height;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + this.height > list.scrollTop + list.clientHeight) list.scrollTop = top + this.height - list.clientHeight;
    },

    /** The next card to decide behind `index`, from the start again at the end; -1 when there is none. */
    following(index) {
      const { slots, view } = this;
      if (view.state !== "todo") return index + 1 < slots.length ? index + 1 : -1;
      const open = (i) => !slots[i] || slots[i].state === "todo";
      for (let i = index + 1; i < slots.length; i++) if (open(i)) return i;
      for (let i = 0; i <= index && i < slots.length; i++) if (open(i)) return i;
      return -1;
    },
  };

  function rowElement(index, total) {
    return make("div", { role: "option", id: `option-${index}`, class: "item", "aria-setsize": total, "aria-posinset": index + 1, "data-index": index, "aria-selected": "false" },
      make("span", { class: "mark", "aria-hidden": "true" }), make("span", { class: "preview", dir: "auto" }),
      make("span", { class: "labels" }), make("span", { class: "share" }));
  }

  const MARKS = { todo: "", done: "✓", skipped: "–" };
  function fillRow(row, slot) {
    const look = slot ? `${slot.row} ${slot.state} ${slot.label} ${outbox.pending(slot.row)}` : "";
    if (row.dataset.look === look) return;
    row.dataset.look = look;
    row.classList.toggle("empty", !slot);
    if (!slot) return;
    const [mark, preview, labels, sure] = row.children;
    row.dataset.state = slot.state;
    mark.textContent = outbox.pending(slot.row) ? "↑" : MARKS[slot.state];
    preview.textContent = (now.session.show === "image" ? "" : line(slot.preview || "")) || `Row ${slot.row}`;
    labels.replaceChildren(...rowLabels(slot));
    sure.textContent = slot.confidence === null || slot.confidence === undefined ? "" : belief(slot.confidence);
  }
  function rowLabels(slot) {
    if (slot.state === "skipped") return ["skipped"];
    if (slot.state === "done") return [make("span", { class: "unseen" }, "decided: "), make("bdi", {}, named(slot.label))];
    const parts = [make("bdi", {}, named(slot.given))];
    if (slot.suggested !== null && slot.suggested !== slot.given) parts.push(make("span", { class: "arrow" }, " → "), make("bdi", {}, named(slot.suggested)));
    return parts;
  }

  // ---------------------------------------------------------------- whole cards

  /** Details of cards, fetched ahead, a few kept. */
  const cards = {
    known: new Map(), // row -> promise; `.value` once there
    forget(row) { this.known.delete(row); },
    get(row) {
      let card = this.known.get(row);
      this.known.delete(row);
      if (!card) {
        card = fetched(`/api/cards/${row}`, { annotator: now.annotator });
        card.then((value) => { card.value = value; }, () => { if (this.known.get(row) === card) this.known.delete(row); });
      }
      this.known.set(row, card);
      for (const old of this.known.keys()) { if (this.known.size <= KEEP) break; this.known.delete(old); }
      return card;
    },
    /** Fetch the cards that come next, and the page of the list in which they stand. */
    ahead(index) {
      queue.need(index + PAGE / 4);
      for (let step = 0, at = index; step < AHEAD; step++) {
        at = queue.following(at);
        if (at < 0 || !queue.slots[at]) return;
        this.get(queue.slots[at].row).catch(() => {});
      }
    },
  };

  const card = {
    /** Put the card at a place of the list on the screen. */
    async show(index) {
      if (index < 0) { this.finish(); return; }
      if (!queue.slots[index]) { await queue.need(index); }
      const slot = queue.slots[index];
      if (!slot) { this.waiting(index); return; }
      this.put({ row: slot.row, index, slot });
      queue.reveal(index);
      queue.draw();
    },
    put(found) {
      now.card = { details: null, ...found };
      now.since = performance.now();
      now.hiddenFor = 0;
      const details = cards.get(found.row);
      if (details.value) this.fill(details.value);
      else { drawCard(); this.fetch(details, now.card); }
      if (found.index !== null) later0(() => cards.ahead(found.index));
    },
    async fetch(details, asked) {
      try {
        const value = await details;
        if (now.card === asked) this.fill(value);
      } catch (trouble) {
        if (trouble.passing) link.failed(trouble);
        if (now.card === asked) drawCard(trouble.message);
      }
    },
    fill(details) {
      now.card.details = details;
      now.since = performance.now();
      drawCard();
      if (details.material === "reading") this.fillLater(now.card);
    },
    /** The server is still reading the table: the preview is on the screen, the whole card comes when it can. */
    fillLater(at) {
      setTimeout(async () => {
        if (now.card !== at) return;
        cards.known.clear();
        const details = await cards.get(at.row).catch(() => null);
        if (now.card !== at || !details) return;
        if (details.material === "reading") { this.fillLater(at); return; }
        at.details = details;
        drawCard();
        fetched("/api/session").then(drawNotes, () => {});
      }, 1000);
    },
    waiting(index) {
      now.card = { row: null, index, slot: null, details: null };
      drawCard();
    },
    /** After the server was away: whatever is missing on the screen is fetched. */
    again() {
      const at = now.card;
      if (at && at.row === null) this.show(at.index);
      else if (at && !at.details) this.put(at);
      else if (!at && now.session) start();
    },
    finish() {
      if (queue.total > queue.slots.length) { start(); return; } // the rest of a list too long to show at once
      now.card = null;
      queue.draw();
      drawFinished();
    },
    move(step) {
      const at = now.card;
      const index = at && at.index !== null ? at.index + step : step > 0 ? 0 : queue.slots.length - 1;
      if (index >= 0 && index < queue.slots.length) this.show(index);
    },
  };
  const later0 = (work) => setTimeout(work, 0);

  // ---------------------------------------------------------------- deciding

  const STATE = { skip: "skipped" };
  const after = (item) => ({ state: STATE[item.action] || "done", label: item.action === "skip" ? null : item.label });
  const given = () => now.card.slot.given;
  const suggested = () => now.card.slot.suggested;

  function decide(action, label) {
    const at = now.card;
    if (!at || at.row === null) return;
    const { slot } = at;
    if (action === "accept" && suggested() === null) { notice("This card has no suggested label. Choose a class with 1 to 9 or L."); return; }
    if (action === "keep" && given() === null) { notice("This card has no label to keep. Choose a class with 1 to 9 or L."); return; }
    const chosen = { accept: suggested(), keep: given(), skip: null, label }[action];
    const item = { key: crypto.randomUUID(), at: Date.now(), row: at.row, annotator: now.annotator, action, label: chosen, seconds: seconds(), before: { state: slot.state, label: slot.label } };
    Object.assign(slot, after(item));
    cards.forget(at.row);
    now.last = item;
    outbox.add(item);
    drawProgress();
    const index = queue.following(at.index ?? -1);
    say(`Row ${at.row}: ${action === "skip" ? "skipped" : named(chosen)}. ${count(shownProgress().left)} left.`);
    advance(index);
  }

  /** Go on; at the end of a view that keeps what was decided, stay. */
  function advance(index) {
    if (index >= 0 || queue.view.state === "todo") { card.show(index); return; }
    card.put(now.card);
    queue.draw();
    notice("This was the last card of this list.");
  }

  function choose(label) {
    if (!now.card || now.card.row === null) return;
    if (label === suggested()) decide("accept");
    else if (label === given()) decide("keep");
    else decide("label", label);
  }

  const seconds = () => Math.round(Math.max(0, performance.now() - now.since - now.hiddenFor) / 10) / 100;

  /** Take back what a decision changed on the screen. */
  function restore(item) {
    const slot = queue.slot(item.row);
    if (slot) { Object.assign(slot, item.before); queue.draw(); }
    cards.forget(item.row);
  }

  let undoing = Promise.resolve();
  function undo() {
    undoing = undoing.then(undoOne, undoOne);
    return undoing;
  }
  async function undoOne() {
    if (now.last && outbox.flying === now.last) await outbox.idle;
    const unsent = outbox.newest();
    if (unsent) {
      outbox.forget(unsent);
      restore(unsent);
      drawTrouble();
      drawProgress();
      undone(unsent.row);
      return;
    }
    try {
      const answer = await posted("/api/undo", { annotator: now.annotator });
      link.worked();
      now.progress = answer.progress;
      await reread(answer.row);
      undone(answer.row);
    } catch (trouble) {
      if (trouble.status === 409) notice("There is nothing to undo.");
      else { link.failed(trouble); notice("Nothing was undone: the server does not answer."); }
    }
  }
  /** After an undo on the server: the row's state is the server's. */
  async function reread(row) {
    cards.forget(row);
    const details = await cards.get(row);
    const slot = queue.slot(row);
    if (!slot) return;
    Object.assign(slot, { state: details.state, label: details.label, saved: details.state });
    queue.settled(row);
  }
  async function undone(row) {
    now.last = null;
    drawProgress();
    const index = queue.where.get(row);
    if (index !== undefined) await card.show(index);
    else { await openRow(row); queue.reload(); }
    notice(`Undone: row ${row}.`);
  }
  /** Show a row that the list does not hold. */
  async function openRow(row) {
    const details = await cards.get(row);
    card.put({ row, index: null, slot: { ...details, preview: details.text || "", saved: details.state } });
    queue.draw();
  }

  let noticeTimer = 0;
  /** A short word at the buttons, for eyes and ears, gone after a while. */
  function notice(text) {
    say(text);
    const place = $("bar").querySelector(".word");
    if (!place) return;
    place.textContent = text;
    clearTimeout(noticeTimer);
    noticeTimer = setTimeout(() => { place.textContent = ""; }, 6000);
  }

  // ---------------------------------------------------------------- drawing a card

  function choices() {
    const { slot, details } = now.card;
    const likely = new Map(details ? details.proba : []);
    const few = details && now.session.classes.length <= 9 ? now.session.classes : []; // no number changes its class once shown
    const names = [slot.given, slot.suggested, ...likely.keys(), ...few].filter((name) => name !== null && name !== undefined);
    return [...new Set(names)].slice(0, 9).map((name) => ({
      name,
      tags: [name === slot.given ? "given" : "", name === slot.suggested ? "suggested" : ""].filter(Boolean),
      share: likely.get(name),
    }));
  }

  function drawCard(problem = "") {
    const at = now.card;
    const had = $("card").contains(document.activeElement) && document.activeElement !== $("card");
    if (at.row === null) $("card").replaceChildren(make("p", { class: "note loading" }, "Waiting for the server."));
    else $("card").replaceChildren(headOf(at), make("div", { class: "sheet" }, contentOf(at, problem), choicesOf(at), at.details ? evidenceOf(at) : ""));
    if (had) $("card").focus({ preventScroll: true });
    $("card").scrollTop = 0;
    if (!wide.matches && scrollY > $("card").offsetTop) scrollTo({ top: $("card").offsetTop });
    drawBar();
  }

  function headOf({ row, index, slot, details }) {
    const labels = new Set((details ? details.decisions : []).filter((one) => one.action !== "skip").map((one) => one.label));
    const badges = [make("span", { class: "badge" }, line(slot.kind || "card"))];
    if (slot.state === "done") badges.push(make("span", { class: "badge done" }, "✓ you said ", make("bdi", {}, named(slot.label))));
    if (slot.state === "skipped") badges.push(make("span", { class: "badge" }, "you skipped it"));
    if (labels.size > 1) badges.push(make("span", { class: "badge warn" }, "disputed"));
    const place = index === null ? "" : `${count(index + 1)} of ${count(queue.total)}`;
    return make("div", { class: "head" }, make("h2", {}, `Row ${row}`), ...badges, make("span", { class: "note place" }, place));
  }

  function contentOf({ row, slot, details }, problem) {
    const parts = [];
    if (problem) parts.push(make("p", { class: "warning", role: "alert" }, problem));
    if (!details) parts.push(make("p", { class: "text loading", dir: "auto" }, line(slot.preview || "") || "Loading."));
    if (details && details.image) parts.push(picture(details.image, `Image of row ${row}`));
    if (details && details.text !== null && details.text !== undefined) parts.push(textOf(details.text));
    if (details && details.fields && details.fields.length) parts.push(fieldsOf(details.fields));
    if (details && !parts.length) parts.push(make("p", { class: "note" }, "The run kept nothing of this row to show."));
    return make("section", { class: "content", "aria-label": "What it is", "aria-busy": String(!details && !problem) }, ...parts);
  }
  function textOf(text) {
    const shown = body(text);
    const size = shown.length < 140 ? "short" : shown.length < 600 ? "" : "long";
    if (!shown.trim()) return make("p", { class: "note" }, "The text of this row is empty.");
    const long = shown.length > 1500 ? { tabindex: "0", role: "region", "aria-label": "Text" } : {};
    return make("div", { class: `text ${size}`, dir: "auto", ...long }, shown);
  }
  function picture(source, alt, small = false) {
    const image = make("img", { alt, class: small ? "thumb" : "picture", decoding: "async" });
    image.addEventListener("load", () => { image.classList.toggle("tiny", image.naturalWidth < 160); });
    if (/^data:image\//i.test(source)) image.src = source; // anything else would be an address outside
    return image;
  }
  function fieldsOf(fields) {
    const rows = fields.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, line(name) || "(no name)"),
      line(value) === "" ? make("td", { class: "note" }, "empty") : make("td", { dir: "auto" }, body(value))));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Fields" }, make("table", {}, make("tbody", {}, rows)));
  }

  function choicesOf() {
    const list = make("ol", { class: "choices" }, choices().map((choice, place) => make("li", {}, choiceOf(choice, place + 1))));
    const { slot } = now.card;
    const question = slot.given === null ? "Which label is right?" : slot.suggested === null || slot.suggested === slot.given ? "Is the label right?" : "Which label is right?";
    const { length } = now.session.classes;
    const others = length ? plural(length, "class", "classes") : "Type a value";
    return make("section", { class: "deciding", "aria-labelledby": "question" }, make("h3", { id: "question" }, question), list,
      length === 1 ? null : make("button", { type: "button", class: "choice other", onclick: openPick }, make("kbd", {}, "L"), make("span", { class: "what" }, "Other label"), make("span", { class: "note" }, others)));
  }
  function choiceOf({ name, tags, share: part }, number) {
    const { slot } = now.card;
    const chosen = slot.state === "done" && slot.label === name;
    const bar = make("i", { class: "likely", "aria-hidden": "true" });
    bar.style.width = `${100 * Math.min(1, Math.max(0, part || 0))}%`;
    return make("button", { type: "button", class: `choice ${tags.join(" ")}`, "aria-pressed": String(chosen), "aria-keyshortcuts": number, title: line(name).length > 60 ? line(name) : null, onclick: (event) => { leave(event); choose(name); } },
      make("kbd", {}, String(number)),
      make("span", { class: "what" }, make("bdi", { class: "name" }, breakable(name)), tags.map((tag) => [" ", make("span", { class: `badge ${tag}` }, tag)])),
      make("span", { class: "share" }, part === null || part === undefined ? "" : belief(part)), bar);
  }

  function evidenceOf({ slot, details }) {
    const reasons = [make("p", { class: "reason" }, line(details.reason || "") || "The run gives no reason for this row.")];
    const sure = [chance(details), precision(details)].filter(Boolean).join(" ");
    if (sure) reasons.push(make("p", { class: "note" }, sure));
    const near = details.neighbours || {};
    const sides = [["given", slot.given, near.given], ["suggested", slot.suggested, near.suggested]].filter(([, , rows]) => rows && rows.length);
    return make("section", { class: "evidence", "aria-label": "Evidence" },
      make("h3", {}, "Why it is here"), ...reasons,
      sides.length ? make("h3", {}, "Rows most like it") : null,
      sides.length ? make("div", { class: "sides" }, sides.map(([which, name, rows]) => sideOf(which, name, rows))) : null,
      othersOf(details, slot));
  }
  function chance({ kind, given: label, confidence }) {
    if (confidence === null || confidence === undefined) return "";
    if (label === null || kind === "query") return `The model is ${inWords(confidence)} sure of its prediction.`;
    return `The given label is wrong with a chance of ${inWords(confidence)}.`;
  }
  function precision({ expected_precision: value }) {
    if (value === null || value === undefined) return "";
    const tenth = Math.round(10 * value);
    const words = value >= 0.95 ? "nearly all are" : tenth === 0 ? "fewer than 1 in 10 is" : `about ${tenth} in 10 ${tenth === 1 ? "is" : "are"}`;
    return `Of the rows flagged like this one, ${words} expected to be wrong (${inWords(value)}).`;
  }
  function sideOf(which, name, rows) {
    return make("div", { class: `side ${which}` }, make("h4", {}, "labelled ", make("bdi", {}, breakable(name))),
      make("ul", { class: "plain" }, rows.map((row) => make("li", {}, row.image ? picture(row.image, `Image of row ${row.row}`, true) : null,
        make("div", {}, row.preview && !row.image ? make("p", { class: "near", dir: "auto" }, line(row.preview)) : null,
          make("p", { class: "note" }, `Row ${row.row}${row.similarity === null || row.similarity === undefined ? "" : `, similarity ${row.similarity.toFixed(2)}`}`))))));
  }
  /** What others decided stays closed until one's own decision: agreement says little about people who looked. */
  function othersOf(details, slot) {
    const others = details.decisions.filter((one) => one.annotator !== now.annotator);
    if (!others.length) return null;
    const told = others.map((one) => make("li", {}, make("bdi", {}, make("strong", {}, line(one.annotator))), one.action === "skip" ? " skipped it" : [" said ", make("bdi", { class: "said" }, named(one.label))], make("span", { class: "note" }, ` ${when(one.at)}`)));
    return make("details", { class: "others", open: slot.state !== "todo" }, make("summary", {}, `What others decided (${others.length})`),
      slot.state === "todo" ? make("p", { class: "note" }, "Agreement counts most when you decide before you look.") : null, make("ul", { class: "plain" }, told));
  }
  function when(text) {
    const date = new Date(text);
    return Number.isNaN(date.getTime()) ? "" : date.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  }

  // ---------------------------------------------------------------- the buttons below the card

  /** A click with a pointer leaves the focus at the card, so that Enter goes on accepting. */
  const leave = (event) => { if (event.detail > 0) $("card").focus({ preventScroll: true }); };
  function drawBar() {
    const at = now.card;
    if (!$("bar").firstChild) makeBar();
    $("bar").hidden = !at && !shownProgress().cards;
    $("bar").classList.toggle("only-undo", !at);
    const button = (name) => $("bar").querySelector(`[data-do="${name}"]`);
    const slot = at && at.slot;
    for (const [name, label] of [["keep", slot && slot.given], ["accept", slot && slot.suggested]]) {
      const has = label !== null && label !== undefined;
      button(name).disabled = !has;
      button(name).querySelector("small").textContent = has ? named(label) : "";
    }
    for (const name of ["label", "skip"]) button(name).disabled = !slot;
  }
  function makeBar() {
    const acts = [["keep", "Keep", "K", () => decide("keep")], ["accept", "Accept", "Enter", () => decide("accept")], ["label", "Other label", "L", openPick], ["skip", "Skip", "S", () => decide("skip")], ["undo", "Undo", "U", undo]];
    $("bar").replaceChildren(make("p", { class: "word note", "aria-hidden": "true" }), ...acts.map(([name, text, key, act]) =>
      make("button", { type: "button", "data-do": name, class: name === "accept" ? "main" : null, "aria-keyshortcuts": key, onclick: (event) => { leave(event); act(); } },
        make("span", {}, text, " ", make("kbd", { "aria-hidden": "true" }, key)), ["keep", "accept"].includes(name) ? make("small", { dir: "auto" }) : null)));
  }

  // ---------------------------------------------------------------- nothing left, nothing there

  function drawFinished() {
    drawBar();
    const p = shownProgress();
    const { kind, search, state } = queue.view;
    const parts = state !== "todo" || kind || search ? nothingHere(p) : p.cards === 0 ? nothingAtAll() : allDone(p);
    $("card").replaceChildren(make("div", { class: "finished" }, parts));
    $("card").scrollTop = 0;
  }
  const to = (text, change, main = false) => make("button", { type: "button", class: main ? "main" : null, onclick: () => setView(change) }, text);
  function nothingHere(p) {
    const { kind, search, state } = queue.view;
    const what = { todo: "Nothing left to decide here", done: "No decided cards", skipped: "No skipped cards", disputed: "No disputed rows", all: "No cards" }[state];
    const why = kind || search ? "No card fits this kind and search." : state === "disputed" ? "A row is disputed when two people gave it different labels." : "";
    return [make("h2", {}, kind || search ? `${what} with this filter` : what), make("p", { class: "lead" }, why),
      make("div", { class: "tools" }, p.left ? to(`Show all ${count(p.left)} to decide`, { state: "todo", kind: "", search: "" }, true) : to("Show all cards", { state: "all", kind: "", search: "" }))];
  }
  const nothingAtAll = () => [make("h2", {}, "Nothing to review"), make("p", { class: "lead" }, "The run flagged no rows and asks for no labels.")];
  function allDone(p) {
    const told = [`${plural(p.changed, "label was", "labels were")} changed and ${count(p.kept)} confirmed.`];
    if (p.labelled) told.push(`${plural(p.labelled, "row has its", "rows have their")} first label.`);
    if (p.skipped) told.push(`You skipped ${plural(p.skipped, "card")}.`);
    if (p.disputed) told.push(`${plural(p.disputed, "row is", "rows are")} disputed.`);
    const command = now.session.next || `labelwise run --resume ${now.session.run}`;
    return [make("h2", {}, p.skipped ? "Every card has been seen" : "Every card is decided"), make("p", { class: "lead" }, told.join(" ")),
      p.skipped || p.disputed ? make("div", { class: "tools" }, p.skipped ? to(`Look at the ${count(p.skipped)} skipped`, { state: "skipped" }) : null, p.disputed ? to(`Look at the ${count(p.disputed)} disputed`, { state: "disputed" }) : null) : null,
      make("h3", {}, "What to do next"), make("p", {}, "The decisions are kept with the run. This trains again and takes the decided rows as trusted:"),
      make("pre", { tabindex: "0", "aria-label": "Command" }, make("code", {}, command)),
      make("div", { class: "tools" }, make("button", { type: "button", class: "main", onclick: (event) => copy(command, event.currentTarget) }, "Copy the command"), make("button", { type: "button", onclick: openFiles }, "Export the labels"))];
  }
  async function copy(text, button) {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; say("Copied."); } catch { getSelection().selectAllChildren($("card").querySelector("pre")); }
  }

  // ---------------------------------------------------------------- progress

  /** The server's progress with the decisions that it has not got yet. */
  function shownProgress() {
    const p = { ...now.progress };
    for (const item of outbox.items) {
      if (item.annotator !== now.annotator || item.refused) continue;
      for (const [state, step] of [[after(item).state, 1], [item.before.state, -1]]) {
        if (state === "todo") p.left += step;
        else p[state] += step;
      }
    }
    return p;
  }
  async function refreshProgress() {
    const annotator = now.annotator;
    try {
      const found = await fetched("/api/progress", { annotator });
      if (annotator === now.annotator && !outbox.flying) now.progress = found;
      link.worked();
      drawProgress();
    } catch (trouble) { link.failed(trouble); throw trouble; }
  }

  function drawProgress() {
    if (!now.progress) return;
    $("count").textContent = queue.told();
    const p = shownProgress();
    if (JSON.stringify(p) === now.told) return;
    now.told = JSON.stringify(p);
    const part = (value) => (p.cards ? (100 * value) / p.cards : 0);
    const [done, skipped] = $("meter").children;
    done.style.width = `${part(p.done)}%`;
    skipped.style.width = `${part(p.skipped)}%`;
    $("meter").setAttribute("aria-valuenow", Math.floor(part(p.done + p.skipped)));
    $("meter").setAttribute("aria-valuetext", `${count(p.done)} decided, ${count(p.skipped)} skipped, ${count(p.left)} left`);
    const time = p.seconds_a_card && p.left ? duration(p.seconds_a_card * p.left) : "";
    $("progress-line").textContent = p.left || !p.cards ? [`${count(p.done)} of ${count(p.cards)} decided`, `${count(p.left)} left`, time].filter(Boolean).join(" · ") : `All ${count(p.cards)} cards seen`;
    $("numbers").replaceChildren(...numbersOf(p));
    $("gain").textContent = [gainOf(p.gain_left), p.note ? line(p.note) : ""].filter(Boolean).join(" ");
    $("gain").hidden = !$("gain").textContent;
    document.title = `${p.left ? `(${count(p.left)}) ` : ""}Label review: ${line(now.session.run)}`;
  }
  const PEOPLE = "Decided by";
  function numbersOf(p) {
    const pairs = [["Decided", count(p.done)], ["Skipped", count(p.skipped)], ["Left", count(p.left)]];
    if (p.seconds_a_card) pairs.push(["A card", `${p.seconds_a_card.toFixed(1)} s`]);
    if (p.seconds_a_card && p.left) pairs.push(["Time left", duration(p.seconds_a_card * p.left)]);
    if (p.changed || p.kept) pairs.push(["Changed", count(p.changed)], ["Confirmed", count(p.kept)]);
    if (p.labelled) pairs.push(["First labels", count(p.labelled)]);
    if (p.agreement) pairs.push([agreementOf(p.agreement), share(p.agreement.value)]);
    if (p.disputed) pairs.push(["Disputed", make("button", { type: "button", class: "link", onclick: () => setView({ state: "disputed", kind: "", search: "" }) }, count(p.disputed))]);
    if (p.by_annotator.length > 1) pairs.push([PEOPLE, p.by_annotator.map((one, place) => [place ? ", " : "", make("bdi", {}, line(one.annotator)), ` ${count(one.done)}`])]);
    return pairs.map(([name, value]) => make("div", { class: name === PEOPLE ? "named" : null }, make("dt", {}, name), make("dd", {}, value)));
  }
  function agreementOf({ rows, low, high, kappa }) {
    const interval = rows > 1 ? `, ${share(low)} to ${share(high)}` : "";
    const beyond = kappa === null || kappa === undefined ? "" : `, kappa ${kappa < 0 ? "−" : ""}${Math.abs(kappa).toFixed(2)}`;
    return `Agreement on ${plural(rows, "row")}${interval}${beyond}`;
  }
  function gainOf(gain) {
    if (!gain || gain.value === null || gain.value === undefined) return "";
    const scale = isShare(gain.metric) ? 100 : 1;
    const digits = scale === 100 ? 1 : 3;
    const [value, low, high] = [gain.value, gain.low, gain.high].map((one) => signed(scale * one, digits));
    return `Reviewing the rest is expected to bring ${value} ${scale === 100 ? "points of " : "of "}${line(gain.metric)} (${low.replace("+", "")} to ${high.replace("+", "")}).`;
  }

  // ---------------------------------------------------------------- dialogs

  /** Run `work` for the files, the names, the keys ... and show the dialog; nothing else listens meanwhile. */
  const dialogOpen = () => document.querySelector("dialog[open]") !== null;
  function openDialog(id) { if (!dialogOpen()) $(id).showModal(); }
  const openKeys = () => openDialog("keys");
  function openFiles() { $("files-said").textContent = ""; openDialog("files"); }

  function openName() {
    $("name-field").value = now.annotator || now.session.annotator || "";
    $("name-cancel").hidden = !now.annotator;
    const known = new Set([...now.session.annotators, ...(now.progress ? now.progress.by_annotator.map((one) => one.annotator) : [])]);
    $("known").replaceChildren(...[...known].slice(0, 30).map((name) => make("button", { type: "button", onclick: () => setName(name) }, make("bdi", {}, line(name)))));
    $("known").hidden = !known.size;
    openDialog("name");
    $("name-field").select();
  }
  function setName(name) {
    const clean = name.replace(/\s+/g, " ").trim();
    if (!clean) return;
    $("name").close();
    if (clean === now.annotator) return;
    now.annotator = clean;
    now.last = null;
    store.set("labelwise-annotator", clean);
    $("who").replaceChildren(make("span", { class: "unseen" }, "Reviewing: "), make("bdi", {}, line(clean)));
    cards.known.clear();
    start();
  }

  const pick = { found: [], at: 0 };
  function openPick() {
    if (!now.card || now.card.row === null) return;
    const values = !now.session.classes.length;
    $("pick-title").textContent = values ? "The right value" : "Pick a class";
    $("pick-field").placeholder = values ? "A number" : "Type a part of its name";
    $("pick-list").hidden = values;
    $("pick-field").value = "";
    filterPick();
    openDialog("pick");
    $("pick-field").focus();
  }
  /** Classes that contain all the words typed: first those that begin with them, then those with a word that does. */
  function matching(typed) {
    const words = line(typed).toLowerCase().split(/[\s_-]+/).filter(Boolean);
    const ranked = [];
    for (const name of now.session.classes) {
      const text = line(name).toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
      const joined = words.join(" ");
      const plainText = text.replace(/[_-]+/g, " ");
      ranked.push([plainText === joined ? 0 : plainText.startsWith(joined) ? 1 : plainText.includes(` ${joined}`) ? 2 : 3, name]);
    }
    if (words.length) ranked.sort((a, b) => a[0] - b[0]);
    return ranked.map(([, name]) => name);
  }
  function filterPick() {
    const typed = $("pick-field").value;
    pick.found = now.session.classes.length ? matching(typed) : typed.trim() ? [typed.trim()] : [];
    pick.at = 0;
    const shown = pick.found.slice(0, 100);
    $("pick-list").replaceChildren(...shown.map((name, place) => make("div", { role: "option", id: `pick-${place}`, "data-place": place, "aria-selected": String(place === 0) }, make("bdi", {}, named(name)))));
    const rest = pick.found.length - shown.length;
    $("pick-note").textContent = !now.session.classes.length ? "Enter takes it." : !pick.found.length ? "No class contains this." : rest > 0 ? `${plural(pick.found.length, "class", "classes")}, the first 100 shown. Type to narrow them.` : plural(pick.found.length, "class", "classes");
    markPick(0);
  }
  function markPick(place) {
    const options = $("pick-list").children;
    if (options[pick.at]) options[pick.at].setAttribute("aria-selected", "false");
    pick.at = Math.max(0, Math.min(place, options.length - 1));
    const marked = options[pick.at];
    if (marked) { marked.setAttribute("aria-selected", "true"); marked.scrollIntoView({ block: "nearest" }); $("pick-field").setAttribute("aria-activedescendant", marked.id); }
    else $("pick-field").removeAttribute("aria-activedescendant");
  }
  function takePick(place) {
    const name = pick.found[place];
    if (name === undefined) return;
    $("pick").close();
    choose(name);
  }
  function pickKey(event) {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (step) markPick(pick.at + step);
    else if (event.key === "Enter") takePick(pick.at);
    else return;
    event.preventDefault();
  }

  async function exportAs(format) {
    const note = (text) => { $("files-said").textContent = text; };
    note(outbox.items.length ? `${plural(outbox.items.length, "decision is", "decisions are")} not saved yet and will be missing.` : "Making the file.");
    try {
      const answer = await request(`/api/export?${new URLSearchParams({ format })}`, {});
      const name = (/filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") || "") || [])[1] || `labels.${format === "label-studio" ? "json" : format}`;
      const address = URL.createObjectURL(await answer.blob());
      make("a", { href: address, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(address), 60000);
      note(`${name} is in your downloads.`);
    } catch (trouble) { note(trouble.message); }
  }
  async function importFile(field) {
    const [file] = field.files;
    if (!file) return;
    $("files-said").textContent = "Reading the file.";
    try {
      const answer = await (await request("/api/import", { method: "POST", body: file })).json();
      $("files-said").textContent = `${plural(answer.imported, "decision")} came in, ${count(answer.skipped)} left out.`;
      cards.known.clear();
      await refreshProgress();
      await start();
    } catch (trouble) { $("files-said").textContent = trouble.message; }
    field.value = "";
  }

  // ---------------------------------------------------------------- keys

  const typing = (node) => node.closest("input, textarea, select, [contenteditable]") !== null;
  const pressing = (node) => node.closest("button, a, summary") !== null;
  /** The key as a letter whatever the keyboard's language: Ф on the key A is A, & on the key 1 is 1. */
  function letter({ key, code, shiftKey }) {
    if (/^[\x20-\x7e]$/.test(key) && !/^Digit/.test(code)) return key.toLowerCase();
    if (/^[0-9/?]$/.test(key)) return key;
    if (/^Digit[1-9]$/.test(code) && !shiftKey) return code.slice(5);
    return /^Key[A-Z]$/.test(code) ? code.slice(3).toLowerCase() : key;
  }

  const MOVES = {
    j: () => card.move(1), ArrowDown: () => card.move(1), ArrowUp: () => card.move(-1),
  };
  const ACTS = {
    a: () => decide("accept"), Enter: () => decide("accept"), k: () => decide("keep"), s: () => decide("skip"), u: undo,
    l: openPick, t: openPick, "?": openKeys, "/": () => openSearch(),
  };
  const IN_LIST = {
    Home: () => card.show(0), End: () => card.show(queue.slots.length - 1), PageDown: () => card.move(10), PageUp: () => card.move(-10),
    Enter: () => $("card").focus(),
  };

  function onKey(event) {
    const { target } = event;
    if (event.isComposing || event.defaultPrevented || dialogOpen() || !now.annotator || typing(target)) return;
    const key = letter(event);
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && key === "z") { event.preventDefault(); undo(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = actOf(key, target);
    if (!act || (event.repeat && !MOVES[key])) return;
    event.preventDefault();
    act();
  }
  function actOf(key, target) {
    if (target === $("list") && IN_LIST[key]) return IN_LIST[key];
    if (key === "Enter" && pressing(target)) return null;
    if (target.closest(".scroll, .text[tabindex], pre") && /^Arrow/.test(key)) return null; // arrows scroll there
    if (/^[1-9]$/.test(key)) return () => chooseNumber(Number(key));
    return MOVES[key] || ACTS[key];
  }
  function chooseNumber(number) {
    if (!now.card || now.card.row === null) return;
    const choice = choices()[number - 1];
    if (choice) choose(choice.name);
    else notice(`There is no class with number ${number}.`);
  }
  function openSearch() {
    $("queue-fold").open = true;
    $("search").focus();
    $("search").select();
  }

  // ---------------------------------------------------------------- start

  async function setView(change) {
    Object.assign(queue.view, change);
    $("state").value = queue.view.state;
    $("kind").value = queue.view.kind;
    if ($("search").value.trim() !== queue.view.search) $("search").value = queue.view.search;
    await start();
  }

  /** Load the list for the annotator and the view, and show its first card. */
  async function start() {
    $("list").setAttribute("aria-busy", "true");
    try {
      if (!(await queue.load())) return;
      await refreshProgress();
      card.show(queue.view.state === "todo" ? queue.following(-1) : queue.slots.length ? 0 : -1);
    } catch (trouble) {
      if (!(trouble instanceof Trouble)) throw trouble;
      link.failed(trouble);
      if (!trouble.passing) $("card").replaceChildren(make("p", { class: "warning" }, trouble.message));
    } finally { $("list").removeAttribute("aria-busy"); }
  }

  function drawNotes({ notes = [] }) {
    $("notes").replaceChildren(...notes.map((note) => make("li", {}, line(note))));
    $("notes").hidden = !notes.length;
  }

  async function open() {
    try {
      now.session = await fetched("/api/session");
    } catch (trouble) {
      const text = trouble.status === 403 ? "The address lacks the right key. Open the one that labelwise review printed." : `${trouble.message} The page tries again by itself.`;
      $("card").replaceChildren(make("p", { class: "warning", role: "alert" }, text));
      if (trouble.status !== 403) setTimeout(open, 2000);
      return;
    }
    const { run, data, kinds } = now.session;
    $("run").textContent = line(run);
    $("data").textContent = line(data || "");
    document.body.dataset.show = now.session.show;
    $("kind").append(...kinds.map(({ kind, cards: found }) => make("option", { value: kind }, `${line(kind)} (${count(found)})`)));
    drawNotes(now.session);
    const name = store.get("labelwise-annotator") || "";
    if (name) setName(name);
    else openName();
    outbox.adopt();
  }

  function themeButton() {
    const root = document.documentElement;
    const button = document.querySelector(".theme");
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
    const draw = () => { button.setAttribute("aria-pressed", String(isDark())); };
    if (store.get("labelwise-theme")) root.dataset.theme = store.get("labelwise-theme");
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; store.set("labelwise-theme", root.dataset.theme); draw(); });
    dark.addEventListener("change", draw);
    draw();
  }

  function listenToList() {
    const list = $("list");
    let drawing = 0;
    const draw = () => { drawing ||= requestAnimationFrame(() => { drawing = 0; queue.draw(); }); };
    list.addEventListener("scroll", draw, { passive: true });
    new ResizeObserver(() => {
      const height = parseFloat(getComputedStyle($("spacer")).minHeight) || queue.height;
      if (height !== queue.height) { queue.rows.forEach((row) => row.remove()); queue.rows.clear(); }
      queue.height = height;
      queue.draw();
    }).observe(list);
    list.addEventListener("click", (event) => {
      const row = event.target.closest(".item");
      if (!row) return;
      card.show(Number(row.dataset.index));
      if (!wide.matches) $("queue-fold").open = false;
      $("card").focus();
    });
  }

  function listenToFields() {
    $("filter").addEventListener("submit", (event) => { event.preventDefault(); $("card").focus(); });
    $("state").addEventListener("change", () => setView({ state: $("state").value }));
    $("kind").addEventListener("change", () => setView({ kind: $("kind").value }));
    $("search").addEventListener("input", later(200, () => setView({ search: $("search").value.trim() })));
    $("search").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      if ($("search").value) { $("search").value = ""; setView({ search: "" }); }
      $("card").focus();
    });
    $("pick-field").addEventListener("input", filterPick);
    $("pick-field").addEventListener("keydown", pickKey);
    $("pick-list").addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) takePick(Number(option.dataset.place));
    });
    $("name-form").addEventListener("submit", (event) => { event.preventDefault(); setName($("name-field").value); });
    $("name").addEventListener("cancel", (event) => { if (!now.annotator) event.preventDefault(); });
    $("name").addEventListener("close", () => { if (!now.annotator) openName(); });
    $("import").addEventListener("change", () => importFile($("import")));
  }

  function listenToButtons() {
    const clicks = { who: openName, "open-files": openFiles, "open-keys": openKeys, retry: () => link.ask(), "name-cancel": () => $("name").close(), "pick-cancel": () => $("pick").close() };
    for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
    for (const button of $("exports").children) button.addEventListener("click", () => exportAs(button.dataset.format));
    document.querySelectorAll("dialog").forEach((dialog) => {
      dialog.addEventListener("click", (event) => { if (event.target === dialog && dialog.id !== "name") dialog.close(); }); // beside it
      dialog.addEventListener("close", () => { if (document.activeElement === document.body || dialog.contains(document.activeElement)) $("card").focus({ preventScroll: true }); });
    });
  }

  function listenToWindow() {
    document.addEventListener("keydown", onKey);
    addEventListener("beforeunload", (event) => { if (outbox.items.length) event.preventDefault(); });
    let hiddenSince = 0;
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) hiddenSince = performance.now();
      else { now.hiddenFor += performance.now() - Math.max(hiddenSince, now.since); if (now.annotator) link.ask(); }
    });
    setInterval(() => { if (!document.hidden && now.annotator && !link.trouble && !outbox.flying) link.ask(); }, 10000);
    const fold = () => { for (const id of ["queue-fold", "progress-fold"]) $(id).open = wide.matches; };
    wide.addEventListener("change", fold);
    fold();
  }

  document.addEventListener("DOMContentLoaded", () => {
    themeButton();
    listenToList();
    listenToFields();
    listenToButtons();
    listenToWindow();
    open();
  });
})();
