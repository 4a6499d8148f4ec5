// Live updates: one event stream a browser, shared by its tabs; regions of the page are fetched anew.
//
// HTTP/1.1 allows six connections a host, so only one tab holds the stream (a lock elects it) and
// tells the others. Where a page is not a secure context there are no locks: then each visible tab
// has a stream of its own, closed while it is hidden. While there is no stream, regions are polled.
(() => {
  "use strict";
  const { user, events: address } = document.body.dataset;
  const { backupPage } = window;
  if (!user || !address) return;

  const POLL_MS = 5000;
  const REFRESH_GAP_MS = 1000;
  // Totals on the server are kept for some seconds: what a state message announces, look at twice.
  const SETTLE_MS = 4000;
  const KINDS = ["progress", "event", "state"];
  const channel = "BroadcastChannel" in window ? new BroadcastChannel(`backup-live-${user}`) : null;

  // --- Regions -------------------------------------------------------------------------------
  let refreshing = false;
  let wanted = false;
  let lastRefresh = 0;
  let timer = 0;

  function refreshSoon(delay = 0) {
    wanted = true;
    if (timer || document.hidden) return;
    const wait = Math.max(delay, lastRefresh + REFRESH_GAP_MS - Date.now(), 0);
    timer = setTimeout(() => { timer = 0; refresh(); }, wait);
  }

  async function refresh() {
    if (refreshing || !document.querySelector("[data-live]")) return;
    refreshing = true;
    wanted = false;
    lastRefresh = Date.now();
    try {
      const response = await fetch(location.href, { headers: { "X-Live": "1" } });
      if (response.redirected) return location.reload(); // the session has ended
      if (response.ok) replaceRegions(await response.text());
    } catch {
      // the server is away; the next poll tries again
    } finally {
      refreshing = false;
      if (wanted) refreshSoon();
    }
  }

  function replaceRegions(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    for (const region of document.querySelectorAll("[data-live][id]")) {
      const next = fresh.getElementById(region.id);
      if (!next) continue;
      const text = backupPage.essence(next);
      if (backupPage.shown.get(region) === text) continue;
      const focused = focusables(region).indexOf(document.activeElement);
      backupPage.shown.set(region, text);
      region.className = next.className;
      const opened = [...region.querySelectorAll("details")].map((part) => part.open);
      region.replaceChildren(...document.adoptNode(next).childNodes);
      region.querySelectorAll("details").forEach((part, place) => { part.open ||= opened[place] === true; });
      if (focused >= 0) focusables(region)[focused]?.focus({ preventScroll: true });
    }
    const title = fresh.querySelector("title");
    if (title && document.title !== title.textContent) {
      document.title = title.textContent;
      say(document.title);
    }
    backupPage.showTimes(document);
  }

  // For screen readers; the title of the dashboard is its sentence.
  function say(text) {
    document.getElementById("live-note").textContent = text;
  }

  const focusables = (region) => [...region.querySelectorAll("a, button, input, select, summary")];

  // --- Progress ------------------------------------------------------------------------------
  const whole = new Intl.NumberFormat("en-US");
  const oneDigit = new Intl.NumberFormat("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const STAGES = {
    queued: "Queued", scan: "Scanning", plan: "Planning", move: "Moving",
    transfer: "Transferring", verify: "Verifying", restore: "Restoring", prune: "Pruning",
    erase: "Erasing", done: "Done",
  };

  function size(bytes) {
    const units = ["Bytes", "kB", "MB", "GB", "TB", "PB"];
    let step = 0;
    let value = bytes;
    while (value >= 1000 && step < units.length - 1) { value /= 1000; step += 1; }
    return step ? `${value.toFixed(1)} ${units[step]}` : `${value} ${value === 1 ? "Byte" : "Bytes"}`;
  }

  function duration(seconds) {
    if (seconds === null || seconds === undefined) return "–";
    const total = Math.round(seconds);
    const hours = Math.floor(total / 3600);
    const minutes = Math.floor((total % 3600) / 60);
    if (hours) return `${whole.format(hours)} h ${minutes} min`;
    return minutes ? `${minutes} min ${total % 60} s` : `${total} s`;
  }

  const settled = (run) =>
    run.files_done + run.files_failed + run.files_refused + (run.files_skipped || 0)
    + (run.files_there || 0);

  // As syncapp/web/progress.py reckons it.
  function percent(run) {
    if (run.stage === "done") return 100;
    if (!run.files_total) return null;
    const byFiles = settled(run) / run.files_total;
    const byBytes = run.bytes_total ? run.bytes_done / run.bytes_total : byFiles;
    return Math.min(99, Math.floor(50 * (byFiles + Math.min(byBytes, 1))));
  }

  function showProgress(run) {
    const boxes = document.querySelectorAll(`[data-run="${Number(run.run)}"]`);
    if (!boxes.length) {
      if (document.getElementById("active")) refreshSoon(); // a run that began meanwhile
      return;
    }
    const texts = {
      stage: STAGES[run.stage] || run.stage,
      files_done: whole.format(run.files_done),
      files_total: run.files_total ? whole.format(run.files_total) : `${whole.format(run.files_seen)} found`,
      files_moved: whole.format(run.files_moved),
      files_failed: whole.format(run.files_failed),
      files_refused: whole.format(run.files_refused),
      files_skipped: whole.format(run.files_skipped || 0),
      files_there: whole.format(run.files_there || 0),
      bytes_done: size(run.bytes_done),
      bytes_total: size(run.bytes_total),
      files_per_s: oneDigit.format(run.files_per_s),
      bytes_per_s: `${size(Math.round(run.bytes_per_s))}/s`,
      eta_s: duration(run.eta_s),
    };
    for (const box of boxes) {
      for (const [name, text] of Object.entries(texts)) {
        const field = box.querySelector(`[data-field="${name}"]`);
        if (field && field.textContent !== text) field.textContent = text;
      }
      const bar = box.querySelector("progress");
      const share = percent(run);
      if (bar && share === null) bar.removeAttribute("value");
      else if (bar) bar.value = share;
    }
  }

  function take(kind, data) {
    if (kind === "progress") return showProgress(data);
    refreshSoon();
    if (kind === "event" && document.querySelector("[data-live]")) say(data.message);
    if (kind === "state") setTimeout(() => refreshSoon(), SETTLE_MS);
  }

  // --- The stream ----------------------------------------------------------------------------
  let source = null;
  let heardAt = 0; // when this tab last knew of a living stream, its own or another tab's
  let leading = false;
  let alone = false; // no locks: every tab for itself

  function alive(known) {
    heardAt = known ? Date.now() : 0;
    document.body.dataset.stream = known ? "open" : "lost";
  }

  function tell(kind, data) {
    alive(true);
    take(kind, data);
    channel?.postMessage({ kind, data });
  }

  function open() {
    if (source) return;
    source = new EventSource(address);
    for (const kind of KINDS) {
      source.addEventListener(kind, (message) => tell(kind, JSON.parse(message.data)));
    }
    for (const kind of ["stream-open", "keep-alive"]) {
      source.addEventListener(kind, () => { alive(true); channel?.postMessage({ kind }); });
    }
    // What was said between the page's making and the stream's opening is in the page anew.
    source.addEventListener("stream-open", () => refreshSoon());
    // Some messages are lost for good: the page itself tells what is.
    source.addEventListener("stream-reset", () => tell("state", {}));
    source.addEventListener("stream-error", close);
    source.addEventListener("error", () => {
      alive(false);
      channel?.postMessage({ kind: "lost" });
      if (source && source.readyState === EventSource.CLOSED) close();
    });
  }

  function close() {
    source?.close();
    source = null;
    alive(false);
  }

  if (channel) {
    channel.onmessage = ({ data: { kind, data } }) => {
      alive(kind !== "lost");
      if (KINDS.includes(kind)) take(kind, data);
    };
  }

  if (navigator.locks && channel) {
    // Held until the tab is closed; the next in line then opens its own stream.
    navigator.locks.request(`backup-live-${user}`, () => new Promise(() => { open(); leading = true; }));
  } else {
    alone = true;
    if (!document.hidden) open();
  }

  document.addEventListener("visibilitychange", () => {
    if (alone) document.hidden ? close() : open();
    if (!document.hidden) refreshSoon();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (event.persisted && (leading || alone)) open();
  });

  // Keep-alives come every 20 s; silence for longer means that nobody has a stream.
  setInterval(() => {
    if (document.hidden || Date.now() - heardAt < 45000) return;
    refreshSoon();
    if (leading || alone) open();
  }, POLL_MS);
})();
