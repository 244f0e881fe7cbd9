// What the review page shows: glip.page has a function for each part of it. All text of the data is set as text, never
// as markup; pictures come from this server, encoded anew.
(() => {
  "use strict";
  const glip = (globalThis.glip ??= {});
  const byId = (id) => document.getElementById(id);
  const LONGEST = 10; // of the sides to each other, as shown: a strip of pixels is stretched, its boxes with it
  const WORDS = { accepted: "✓ accepted", rejected: "✗ rejected", corrected: "✎ corrected", added: "+ added" };

  function make(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  const pictureOf = (key, size) => `/api/picture?key=${encodeURIComponent(key)}&size=${size}`;
  const number = (value) => value.toLocaleString("en");
  const plural = (count, thing) => `${number(count)} ${thing}${count === 1 ? "" : thing.endsWith("box") ? "es" : "s"}`;

  const sideBySide = () => matchMedia("(min-width: 901px)").matches; // the lists stand beside the picture: review.css

  // Scrolls to a picture of the list. Where that stands above the picture at hand, only the list is scrolled, or each
  // step would take a phone's window away from what is looked at.
  function intoSight(button) {
    if (sideBySide()) { button.scrollIntoView({ block: "nearest" }); return; }
    const [list, own] = [byId("samples"), button].map((one) => one.getBoundingClientRect());
    byId("samples").scrollLeft += Math.max(own.right - list.right, 0) || Math.min(own.left - list.left, 0);
  }

  const page = {
    about(about) {
      document.title = `${about.dataset} · glip-engine review`;
      byId("dataset").textContent = about.dataset;
      const boxes = about.selection ? `${plural(about.boxes, "candidate box")}, selection ${about.selection}` : plural(about.boxes, "box");
      byId("reviewer").textContent = `${plural(about.samples, "picture")}, ${boxes} · reviewing as ${about.reviewer}`;
      page.verdicts(about.verdicts);
      byId("notes").textContent = about.notes.join(" ");
    },

    verdicts(count) { // that hold now, whoever gave them
      byId("verdicts").textContent = plural(count, "verdict");
    },

    totals(totals) {
      byId("totals").textContent = totals && `${totals.exact ? "" : "about "}${plural(totals.samples, "picture")}, ${plural(totals.boxes, "box")}`;
    },

    samples(samples, open) {
      byId("samples").replaceChildren(...samples.map((sample, index) => {
        const image = make("img", { src: pictureOf(sample.key, "small"), alt: "", loading: "lazy", decoding: "async" });
        const line = make("span", { className: "n" }, `${plural(sample.boxes, "box")} · ${sample.best_score.toFixed(2)}`);
        const button = make("button", { type: "button", onclick: () => open(index) }, image, line, make("span", { className: "judged" }));
        button.dataset.name = `picture ${sample.key}, ${plural(sample.boxes, "box")}, best score ${sample.best_score.toFixed(2)}`;
        return make("li", {}, button);
      }));
      samples.forEach((sample, index) => page.judged(index, sample.judged));
    },

    judged(index, count) { // how many verdicts hold in a picture of the list
      const button = byId("samples").querySelectorAll("button")[index];
      if (!button) return;
      const mark = count ? `${number(count)} judged` : "";
      button.querySelector(".judged").textContent = mark;
      button.setAttribute("aria-label", [button.dataset.name, mark].filter(Boolean).join(", "));
    },

    current(index) {
      const buttons = [...byId("samples").querySelectorAll("button")];
      buttons.forEach((button, place) => {
        if (place === index) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      });
      if (buttons[index]) intoSight(buttons[index]);
    },

    picture(sample, next) { // the key of the picture that is likely next: the server has it ready then
      const image = byId("picture");
      const ratio = Math.min(Math.max(sample.width / sample.height, 1 / LONGEST), LONGEST);
      byId("frame").style.aspectRatio = ratio;
      byId("frame").style.setProperty("--ratio", ratio);
      byId("no-picture").hidden = true;
      image.classList.add("coming"); // not seen until it is there: the picture before would stand under these boxes
      image.onload = () => {
        image.classList.remove("coming");
        // An answer that is not read holds its connection. Where it fails, the picture itself will say so.
        if (next) fetch(pictureOf(next, "large")).then((answer) => answer.blob()).catch(() => {});
      };
      image.onerror = () => { byId("no-picture").hidden = false; };
      image.alt = sample.caption.map(([text]) => text).join("");
      image.src = pictureOf(sample.key, "large");
      byId("meta").replaceChildren(make("span", {}, sample.key), make("span", {}, `${number(sample.width)} × ${number(sample.height)}`));
      const options = sample.phrases.map((text, value) => make("option", { value }, text));
      byId("draw-phrase").replaceChildren(...options);
    },

    caption(sample, shown, chosen, pick) {
      const found = new Set(shown.map((box) => box.phrase));
      const caption = byId("caption");
      caption.replaceChildren(...sample.caption.map(([text, phrase]) => {
        if (phrase === null) return text;
        if (!found.has(phrase)) return make("span", { className: "unfound", title: "no box shown" }, text);
        const mark = make("mark", { className: `c${phrase % 8}`, onclick: () => pick(phrase) }, text);
        mark.classList.toggle("on", chosen?.phrase === phrase);
        return mark;
      }));
      const on = caption.querySelector(".on"); // a long caption has its own scroll
      if (on) caption.scrollTop = on.offsetTop - caption.offsetTop - caption.clientHeight / 3;
    },

    boxes(sample, shown, chosen, told) {
      const list = byId("boxes"), focused = list.contains(document.activeElement) ? document.activeElement : null;
      const row = focused && [...list.children].indexOf(focused.closest("li"));
      list.replaceChildren(...shown.map((box, index) => {
        const name = sample.phrases[box.phrase];
        const score = box.score === null ? "" : box.score.toFixed(2);
        const state = box.verdict ? `${WORDS[box.verdict]} by ${box.by}` : box.selected ? "" : "not selected";
        const pick = make("button", { type: "button", className: "pick", onclick: () => told.choose(index) },
          make("span", { className: "swatch" }), make("span", { className: "name", dir: "auto", title: name }, name),
          make("span", { className: "n" }, score), make("span", { className: `state ${box.verdict ?? ""}` }, state));
        pick.setAttribute("aria-pressed", String(index === chosen));
        const row = make("li", { className: `c${box.phrase % 8} ${box.verdict ?? ""}` }, pick);
        for (const [verb, sign] of [["accept", "✓"], ["reject", "✗"]]) {
          const button = make("button", { type: "button", className: verb, onclick: () => told[verb](index) }, sign);
          button.setAttribute("aria-label", `${verb} ${name} ${score}`);
          row.append(button);
        }
        row.classList.toggle("held", index === chosen);
        return row;
      }));
      if (focused) list.children[row]?.querySelector(`.${focused.className}`)?.focus({ preventScroll: true });
      if (!shown.length) list.append(make("li", { className: "dim" }, "No box is selected here: C shows all candidates."));
    },

    reveal() { // elsewhere the picture would scroll out of sight
      if (sideBySide()) document.querySelector("#boxes .held")?.scrollIntoView({ block: "nearest" });
    },

    history(history) {
      byId("history-part").hidden = !history.length;
      byId("history").replaceChildren(...history.map((one) => make("li", {},
        `${one.at.slice(0, 19).replace("T", " ")} UTC · ${one.reviewer} · ${one.verdict} · `, make("bdi", {}, one.phrase_text))));
    },

    say(text, wrong = false) {
      byId("status").textContent = text;
      byId("status").classList.toggle("wrong", wrong);
      if (wrong && byId("viewer").hidden) byId("empty").textContent = text; // where nothing else is seen
    },

    lost(keys, open) {
      const links = [...keys].map((key) => make("a", { href: `#${encodeURIComponent(key)}`, onclick: () => open(key) }, make("bdi", {}, key)));
      byId("lost").replaceChildren(...(links.length ? ["Perhaps not saved, look again: ", ...links] : []));
    },

    empty(text) {
      byId("empty").textContent = text;
      byId("empty").hidden = !text;
      byId("viewer").hidden = Boolean(text);
    },

    pressed(verb, on) {
      document.querySelector(`[data-do="${verb}"]`).setAttribute("aria-pressed", String(on));
    },
  };
  glip.page = page;
})();
