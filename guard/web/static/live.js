// The live page: figures and verdicts as they come. Without scripts the page comes anew every five seconds instead.
// What the network chose is only ever put in as text.
"use strict";
(() => {
  const rows = document.getElementById("latest");
  const state = document.getElementById("live-state");
  if (!rows || !window.EventSource) return;
  const words = JSON.parse(rows.dataset.words);
  const most = Number(rows.dataset.most);
  const lang = document.documentElement.lang;
  const pause = document.getElementById("live-pause");
  const say = document.getElementById("live-say");
  const number = new Intl.NumberFormat(lang === "fr" ? "fr-FR" : "en-GB");
  const STANDING_MS = 60_000; // incidents and money
  const AGAIN_MS = 10_000;
  const SAY_MS = 15_000; // a screen reader is not told every second
  let paused = false;

  // Characters that hide or turn others are shown as their code, as the server shows them.
  const harmless = (text) =>
    String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => {
      const code = c.codePointAt(0);
      return code < 0x10000 ? "\\u" + code.toString(16).padStart(4, "0") : "\\U" + code.toString(16).padStart(8, "0");
    });

  const make = (name, text, kind) => {
    const made = document.createElement(name);
    if (text) made.textContent = harmless(text);
    if (kind) made.className = kind;
    return made;
  };

  const stamp = new Intl.DateTimeFormat(lang === "fr" ? "fr-FR" : "en-GB", {
    timeZone: rows.dataset.zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
  const when = (iso) => {
    const p = {};
    for (const part of stamp.formatToParts(new Date(iso))) p[part.type] = part.value;
    return `${p.hour}:${p.minute}:${p.second}${lang === "fr" ? "," : "."}${iso.slice(20, 23)}`;
  };

  const lasting = (ms) => {
    if (ms < 60_000) return `${Math.floor(ms / 1000)}${lang === "fr" ? "," : "."}${Math.floor((ms % 1000) / 100)}\u00a0s`;
    const s = Math.floor(ms / 1000);
    if (s < 3600) return `${Math.floor(s / 60)}\u00a0min\u00a0${String(s % 60).padStart(2, "0")}\u00a0s`;
    return `${Math.floor(s / 3600)}\u00a0h\u00a0${String(Math.floor(s / 60) % 60).padStart(2, "0")}\u00a0min`;
  };

  const outcome = (r) => {
    if (!r.outcome) return words["outcome.open"];
    if (r.outcome === "answered") return `${words["outcome.answered"]} ${lasting(r.talk_ms || 0)}`;
    return words[`outcome.${r.outcome}`] + (r.final_status ? ` ${r.final_status}` : "");
  };

  const STRENGTH = { allow: 0, flag: 1, mask: 2, hold: 3, block: 4 };
  const rule = (r) => {
    if (!r.findings.length) return "";
    const acting = r.findings.filter((f) => f.mode === "enforce" && f.late !== true);
    let first = null;
    for (const f of acting.length ? acting : r.findings)
      if (first === null || STRENGTH[f.action] > STRENGTH[first.action]) first = f;
    return r.findings.length > 1 ? `${first.rule} +${r.findings.length - 1}` : first.rule;
  };

  const caller = (r) => {
    const cell = make("td");
    cell.append(make("span", r.caller || words.none, "nowrap"));
    const other = r.presented !== r.caller ? r.presented : "";
    if (r.verdict === "masked") cell.append(make("span", `→ ${other || words.anonymous}`, "sub"));
    else if (other) cell.append(make("span", `→ ${other}`, "sub"));
    return cell;
  };

  const row = (r) => {
    const made = make("tr");
    made.dataset.seq = r.seq;
    const first = make("th", "", "nowrap");
    first.scope = "row";
    const link = make("a", when(r.time));
    link.href = `/calls/${encodeURIComponent(`#${r.seq}`)}`;
    first.append(link);
    const verdict = make("td");
    verdict.append(make("span", words[`verdict.${r.verdict}`], `tag ${r.verdict}`));
    made.append(first, verdict, make("td", rule(r)), caller(r), make("td", r.callee, "any num"), make("td", r.line, "any"));
    made.append(make("td", outcome(r), "nowrap"));
    return made;
  };

  const call = (r, fresh) => {
    if (paused) return;
    const old = rows.querySelector(`tr[data-seq="${Number(r.seq)}"]`);
    if (old) return void old.replaceChildren(...row(r).childNodes);
    if (!fresh) return;
    const made = row(r);
    made.classList.add("new");
    rows.prepend(made);
    while (rows.rows.length > most && !rows.rows[rows.rows.length - 1].contains(document.activeElement))
      rows.rows[rows.rows.length - 1].remove();
  };

  const sum = (list, name) => (list.some((one) => one[name] === null) ? 0 : list.reduce((all, one) => all + one[name], 0));
  const put = (name, text) => {
    for (const one of document.querySelectorAll(`[data-f="${name}"]`))
      if (one.textContent !== text) one.textContent = text;
  };
  const fill = (name, value, limit) => {
    for (const bar of document.querySelectorAll(`[data-g="${name}"] .gauge`)) {
      const share = limit > 0 ? Math.min(1, value / limit) : 0;
      bar.querySelector(".g-full").setAttribute("width", String(Math.round(1000 * share)));
      bar.setAttribute("class", `gauge ${share >= 0.9 ? "hot" : share >= 0.75 ? "warm" : ""}`.trim());
    }
  };
  const draw = (points) => {
    const spark = document.querySelector(".spark");
    if (!spark || !points.length) return;
    const top = Math.max(1, ...points) * 1.1;
    const step = 1000 / Math.max(1, points.length - 1);
    const line = points.map((v, n) => `${Math.round(n * step)},${(100 - (100 * v) / top).toFixed(1)}`).join(" ");
    spark.querySelector(".s-line").setAttribute("points", line);
    spark.querySelector(".s-area").setAttribute("points", `0,100 ${line} 1000,100`);
  };

  let said = 0;
  const figures = (f) => {
    const cps = sum(f.trunks, "cps"), channels = sum(f.trunks, "channels");
    const left = sum(f.trunks, "departures"), used = sum(f.trunks, "channels_used");
    put("cps", number.format(left));
    put("channels", number.format(used));
    put("held", number.format(f.held));
    fill("cps", left, cps);
    fill("channels", used, channels);
    for (const verdict of ["blocked", "masked", "flagged", "allowed"]) {
      const calls = f.verdicts.filter((v) => v.verdict === verdict).reduce((all, v) => all + v.calls, 0);
      put(`verdict-${verdict}`, number.format(calls));
    }
    f.trunks.forEach((trunk, n) => {
      put(`trunk-${n}-cps`, number.format(trunk.departures));
      put(`trunk-${n}-channels`, number.format(trunk.channels_used));
      put(`trunk-${n}-held`, number.format(trunk.held));
    });
    draw(f.rates.calls);
    if (Date.now() - said > SAY_MS) {
      said = Date.now();
      say.textContent = words["now.say"]
        .replace("{cps}", number.format(left)).replace("{channels}", number.format(used)).replace("{held}", number.format(f.held));
    }
  };

  const tell = (name) => {
    if (state.dataset.now === name) return;
    state.dataset.now = name;
    state.hidden = false;
    state.className = `live-state small ${name}`;
    state.textContent = state.dataset[name];
  };

  // What changes slowly, and whatever was missed: from the page itself, as the server renders it.
  const again = async (ids) => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const id of ids) {
      const here = document.getElementById(id), there = fresh.getElementById(id);
      if (here && there && !here.contains(document.activeElement)) here.replaceChildren(...there.childNodes);
    }
  };

  let away = false;
  const feed = new EventSource("/api/v1/live" + (new URLSearchParams(location.search).has("numbers") ? location.search : ""));
  tell("wait");
  feed.onopen = () => tell("on");
  feed.onerror = () => {
    tell("off");
    // Refused for good, by a session that is over or too many who watch: the page itself says which.
    if (feed.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), AGAIN_MS * (1 + Math.random()));
  };
  feed.addEventListener("call", (e) => call(JSON.parse(e.data), true));
  feed.addEventListener("ended", (e) => call(JSON.parse(e.data), false));
  feed.addEventListener("figures", (e) => {
    if (away || !document.querySelector('[data-f="cps"]')) again(["away", "figures", "panels"]);
    away = false;
    figures(JSON.parse(e.data));
  });
  feed.addEventListener("away", () => {
    if (!away) again(["away", "figures", "panels"]);
    away = true;
  });
  feed.addEventListener("gap", () => again(["latest"]));
  setInterval(() => document.hidden || again(["standing"]), STANDING_MS);
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = pause.dataset[paused ? "go" : "pause"];
    if (!paused) again(["latest"]);
  });
})();
