// glip.card(record, src): the card of a picture, out of a record of pipelines.pages.picture_cards.card_record.
//
// All text is set as text, never as markup. src is set as it is given: a data: address in the report.
// glip.element(name, attributes, ...children) is how pages make elements.
(() => {
  "use strict";
  const glip = (globalThis.glip ??= {});
  const COLOURS = 8;
  // Width over height of a frame; a picture beyond them stands in the middle of its frame.
  const NARROW = 0.95, WIDE = 2.4;
  const LONGEST = 10; // of the sides to each other: a strip of pixels is stretched, its boxes with it
  const SVG = "http://www.w3.org/2000/svg";
  const DRAWN = ["svg", "g", "rect"];

  glip.element = (name, attributes = {}, ...children) => {
    const element = DRAWN.includes(name) ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      if (key === "style") Object.assign(element.style, value);
      else element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  };
  const make = glip.element;
  const shape = (record) => Math.max(NARROW, Math.min(WIDE, record.width / record.height));
  const colour = (phrase) => `c${phrase % COLOURS}`;
  const several = (count, one, more) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
  const scored = (record, words, score) => (record.scored ? `, ${words} ${score.toFixed(2)}` : "");

  // In a picture of many boxes, those that are not among the best of their phrase stand back until they are pointed at.
  const MANY = 8, BEST = 2;
  const rank = (record, box) => record.boxes.filter((one) => one.phrase === box.phrase && one.score > box.score).length;
  const weak = (record, box) => record.scored && record.boxes.length > MANY && rank(record, box) >= BEST;

  function drawn(record, box) {
    const [x, y, width, height] = box.at;
    const corners = { x, y, width, height };
    const label = record.phrases[box.phrase].text + scored(record, "score", box.score);
    const marks = { "data-phrase": box.phrase, "data-box": box.number, "data-label": label };
    return make("g", { class: colour(box.phrase) + (weak(record, box) ? " weak" : ""), ...marks },
      make("rect", { class: "edge", ...corners }), make("rect", { class: "line", ...corners }));
  }

  function score(record, box) {
    const quiet = record.boxes.length > MANY && rank(record, box) > 0 ? " quiet" : "";
    const inside = box.at[1] < 9 ? " inside" : "";
    const place = { left: `${Math.min(box.at[0], 92)}%`, top: `${box.at[1]}%` };
    const marks = { "data-phrase": box.phrase, "data-box": box.number, style: place };
    return make("span", { class: `score ${colour(box.phrase)}${inside}${quiet}`, ...marks }, box.score.toFixed(2));
  }

  function phraseTitle(record, place) {
    const own = record.boxes.filter((box) => box.phrase === place);
    const best = Math.max(...own.map((box) => box.score));
    const { occurrences, new: unseen } = record.phrases[place];
    return [
      several(own.length, "box", "boxes") + scored(record, "best score", best),
      occurrences === undefined ? null : `grounded ${several(occurrences, "time", "times")} in the dataset`,
      unseen ? "absent from the human vocabulary" : null,
    ].filter(Boolean).join("; ");
  }

  function captionPart(record, [text, place]) {
    if (place === undefined) return document.createTextNode(text);
    if (place < 0) return make("span", { class: "unfound", title: "no selected box" }, text);
    const unseen = record.phrases[place].new ? " new" : "";
    const named = { title: phraseTitle(record, place), role: "button", "aria-pressed": "false", tabindex: 0 };
    return make("mark", { class: colour(place) + unseen, "data-phrase": place, dir: "auto", ...named }, text);
  }

  // A long caption scrolls; where no phrase of it can have the focus, it has it itself.
  const scrolled = (record) => (record.caption.some(([, place]) => place >= 0) ? {} : { tabindex: 0 });

  function frame(record, src) {
    const caption = record.caption.map(([text]) => text).join("");
    const boxes = several(record.boxes.length, "box", "boxes");
    const filled = record.width / record.height < NARROW ? { height: "100%" } : { width: "100%" };
    const ratio = Math.min(Math.max(record.width / record.height, 1 / LONGEST), LONGEST);
    const style = { aspectRatio: ratio, ...filled };
    const stage = make("div", { class: "stage", style },
      make("img", { src, alt: caption, decoding: "async", width: record.width, height: record.height }),
      make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" },
        ...record.boxes.map((box) => drawn(record, box))),
      ...(record.scored ? record.boxes.map((box) => score(record, box)) : []));
    return make("div", {
      class: "frame", tabindex: 0, role: "group", "aria-label": `picture with ${boxes}; the arrow keys go through them`,
      style: { aspectRatio: shape(record) },
    }, stage);
  }

  glip.card = (record, src) => {
    const all = record.more ? ` of ${record.boxes.length + record.more}` : "";
    const boxes = several(record.boxes.length, "box", "boxes") + all;
    const facts = [record.key, record.source, `${record.width} × ${record.height}`, boxes];
    const ratio = shape(record);
    const wide = { flexGrow: ratio, flexBasis: `calc(var(--row) * ${ratio})` };
    const card = make("figure", { class: "card picture", "data-key": record.key, style: wide },
      frame(record, src),
      make("figcaption", {},
        make("p", { class: "caption", dir: "auto", ...scrolled(record) }, ...record.caption.map((part) => captionPart(record, part))),
        make("p", { class: "meta" }, ...facts.map((fact) => make("bdi", {}, fact)))));
    glip.point(card);
    return card;
  };
})();
