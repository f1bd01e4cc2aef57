"use strict";
// Fetches /v1/status every two seconds and shows it. Everything is set as text, never as HTML:
// names come from clients.
(() => {
  const at = (id) => document.getElementById(id);
  const round = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
  const number = (value) => (Math.abs(value) < 10 ? fine : round).format(value);

  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
    return `${number(bytes)} ${units[unit]}`;
  }

  function span(seconds) {
    const steps = [[86400, "d"], [3600, "h"], [60, "min"]];
    for (const [length, unit] of steps) {
      if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
    }
    return `${Math.max(0, Math.floor(seconds))} s`;
  }

  function cell(value, kind) {
    const element = document.createElement("td");
    if (kind) element.className = kind;
    if (value instanceof Node) element.append(value); else element.textContent = value;
    return element;
  }

  function fill(id, rows, columns, none) {
    const body = at(id);
    body.replaceChildren(...rows.map((cells) => {
      const row = document.createElement("tr");
      row.append(...cells);
      return row;
    }));
    if (!rows.length) {
      const empty = cell(none, "empty");
      empty.colSpan = columns;
      const row = document.createElement("tr");
      row.append(empty);
      body.append(row);
    }
  }

  function named(name, display) {
    const both = document.createDocumentFragment();
    both.append(display);
    if (display !== name) {
      const small = document.createElement("small");
      small.textContent = name;
      both.append(small);
    }
    return both;
  }

  function lately(values) {
    const some = values.slice(-3);
    return some.length ? some.reduce((sum, value) => sum + value, 0) / some.length : 0;
  }

  function chart(rates, monitors) {
    const kinds = monitors ? ["pass", "block", "monitor"] : ["pass", "block"];
    const most = Math.max(1, ...kinds.flatMap((kind) => rates[kind]));
    const lines = kinds.filter((kind) => rates[kind].length > 1).map((kind) => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      const start = 60 - rates[kind].length;
      line.setAttribute("class", kind);
      line.setAttribute("points", rates[kind]
        .map((value, index) => `${(start + index) * 600 / 59},${118 - value / most * 114}`)
        .join(" "));
      return line;
    });
    at("chart").replaceChildren(...lines);
    at("chart").setAttribute("aria-label", "Decisions a second in the last minute: " +
      kinds.map((kind) => `${number(lately(rates[kind]))} ${kind}`).join(", ") + " at its end");
    at("top").textContent = number(most);
  }

  function state(text, kind) {
    const element = at("state");
    if (element.textContent !== text) element.textContent = text; // read aloud only on a change
    element.className = `state ${kind}`;
  }

  function sum(counts) {
    return Object.values(counts || {}).reduce((total, count) => total + count, 0);
  }

  function sync(status) {
    const found = status.sync;
    if (!found) return ["none", "filings are imported"];
    const up = Object.values(found.connected).some(Boolean);
    const heard = found.staleness_seconds === null
      ? "never heard" : `heard ${span(found.staleness_seconds)} ago`;
    return [found.stale ? "stale" : up ? "in sync" : "away",
      `${heard}; revision ${found.enforced} of ${found.head} in force`];
  }

  function show(status) {
    const now = Date.parse(status.now);
    const ago = (time) => `${span((now - Date.parse(time)) / 1000)} ago`;
    document.title = `Gate ${status.host}`;
    at("host").textContent = status.host;
    const planes = Object.keys(status.data_planes).filter((name) => status.data_planes[name]);
    at("about").textContent = [
      `version ${status.version}`,
      ...planes.map((name) => `${name} data plane`),
      `up ${span((now - Date.parse(status.started)) / 1000)}`,
    ].join(", ");
    if (status.draining) state("out of rotation", "warn");
    else if (status.ready) state("ready", "good");
    else state("not ready", "bad");
    const reasons = [...status.reasons, ...status.warnings];
    at("reasons").hidden = !reasons.length;
    at("reasons").replaceChildren(...reasons.map((reason) => {
      const item = document.createElement("li");
      item.textContent = reason;
      return item;
    }));
    const rates = status.rates;
    for (const kind of ["pass", "block", "monitor"]) {
      at(kind).textContent = number(lately(rates[kind]));
    }
    const monitors = status.listeners.some((one) => one.mode === "monitor");
    at("monitor-tile").hidden = at("monitor-key").hidden = !monitors;
    at("open").textContent = number(status.connections.open);
    at("limit").textContent = `of ${number(status.connections.limit)}`;
    at("traffic").textContent = size(lately(rates.bytes_up) + lately(rates.bytes_down));
    at("entries").textContent = number(status.replica.entries);
    at("revision").textContent = `revision ${status.replica.revision}`;
    [at("sync").textContent, at("synced").textContent] = sync(status);
    chart(rates, monitors);
    fill("names", status.top_blocked.map((row) => [
      cell(named(row.name, row.display), "name"), cell(number(row.per_minute), "n"),
      cell(number(row.count), "n"), cell(row.reason), cell(row.listener), cell(row.destination || row.route),
      cell(ago(row.last_seen)),
    ]), 7, "nothing was blocked yet");
    at("more").textContent = status.unfiled_names > status.top_blocked.length
      ? `${number(status.unfiled_names)} in all: gate unfiled, or /v1/unfiled.csv` : "";
    fill("listeners", status.listeners.map((one) => [
      cell(`${one.name} (${one.kind})`), cell(one.address),
      cell(one.mode + (one.mode === one.configured ? "" : ", set by hand"),
        one.mode === "enforce" ? "" : "warn"),
      cell(number(one.accepted), "n"), cell(number(sum(one.decisions.pass)), "n"),
      cell(number(sum(one.decisions.block)), "n"), cell(number(sum(one.decisions.monitor)), "n"),
    ]), 7, "no listeners");
    fill("processes", status.processes.map((one) => [
      cell(one.name), cell(String(one.pid), "n"),
      one.serving || !one.name.startsWith("worker") && one.name !== "control"
        ? cell("runs", "good") : cell("does not serve", "bad"),
      cell(number(one.restarts), one.restarts ? "n warn" : "n"),
      cell(`${number(one.cpu_seconds)} s`, "n"), cell(size(one.memory_bytes), "n"),
    ]), 6, "none");
    fill("upstreams", status.upstreams.map((one) => [
      cell(one.address),
      one.resting ? cell(`rests in ${one.resting} workers`, "bad") : cell("used", "good"),
      cell(number(one.connects), "n"), cell(number(one.failures), "n"),
      cell(number(one.idle), "n"),
    ]), 5, "none");
    at("main").removeAttribute("aria-busy");
  }

  async function look() {
    try {
      const answer = await fetch("/v1/status", {
        cache: "no-store", signal: AbortSignal.timeout(5000),
      });
      if (answer.status === 401) {
        state("figures need a token", "bad");
        at("about").textContent = "Open this page on the gate's machine, or through ssh -L.";
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
    } catch (error) {
      state("no answer", "bad");
    }
    setTimeout(look, 2000);
  }

  look();
})();
