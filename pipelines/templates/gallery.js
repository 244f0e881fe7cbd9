// The galleries of the report: search, filters and order over the records of a sample. Cards are made as they are
// shown, and a thumbnail is taken out of the page only with its card.
(() => {
  "use strict";
  const { element: make, card } = globalThis.glip;
  const STEP = matchMedia("(max-width: 560px)").matches ? 8 : 24;
  const whole = (value) => value.toLocaleString("en");
  const RARITY = { once: [1, 1], rare: [2, 10], some: [11, 100], frequent: [101, Infinity] };

  const ORDERS = {
    place: (a, b) => a.number - b.number,
    best: (a, b) => b.best - a.best,
    worst: (a, b) => a.worst - b.worst,
    rarest: (a, b) => a.rarest - b.rarest,
    most: (a, b) => b.boxes.length - a.boxes.length,
  };

  // Whether one box of a record is what the filters ask for.
  function wanted(box, record, filters) {
    const phrase = record.phrases[box.phrase];
    const [low, high] = RARITY[filters.rarity] ?? [0, Infinity];
    return (!filters.phrase || phrase.text.toLowerCase().includes(filters.phrase))
      && (!filters.size || box.size === filters.size)
      && (!filters.rarity || (phrase.occurrences >= low && phrase.occurrences <= high))
      && (!filters.novelty || phrase.new === (filters.novelty === "new"));
  }

  function find(records, filters) {
    const found = [];
    records.forEach((record, number) => {
      if (filters.source && record.source !== filters.source) return;
      const boxes = record.boxes.filter((box) => wanted(box, record, filters));
      if (!boxes.length) return;
      const scores = boxes.map((box) => box.score);
      const counts = boxes.map((box) => record.phrases[box.phrase].occurrences ?? Infinity);
      found.push({ number, boxes, best: Math.max(...scores), worst: Math.min(...scores), rarest: Math.min(...counts) });
    });
    return found.sort((a, b) => ORDERS[filters.order](a, b) || a.number - b.number);
  }

  function gallery(section) {
    const place = section.dataset.gallery;
    const records = JSON.parse(document.getElementById(`gallery-${place}`).textContent);
    const form = section.querySelector("form");
    const grid = section.querySelector(".gallery");
    const status = section.querySelector("[role=status]");
    const more = section.querySelector(".more");
    const cards = new Map();
    let found = [];
    let shown = 0;

    const cardOf = (number) => {
      if (!cards.has(number)) {
        const jpeg = document.getElementById(`thumb-${place}-${number}`).textContent;
        cards.set(number, card(records[number], `data:image/jpeg;base64,${jpeg}`));
      }
      return cards.get(number);
    };

    function show(count) {
      const narrowed = ["phrase", "size", "rarity", "novelty"].some((name) => form.elements[name]?.value);
      const added = found.slice(shown, count).map(({ number, boxes }) => {
        const one = cardOf(number);
        one.dataset.rest = narrowed ? [...new Set(boxes.map((box) => box.phrase))].join(" ") : "";
        one.dispatchEvent(new Event("rest"));
        return one;
      });
      grid.append(...added);
      shown = Math.min(count, found.length);
      more.hidden = shown === found.length;
      const of = found.length === records.length ? "" : ` of ${whole(records.length)}`;
      const pictures = `${whole(found.length)}${of} ${records.length === 1 ? "picture" : "pictures"}`;
      status.textContent = found.length
        ? (shown < found.length ? `${pictures}, ${whole(shown)} shown` : pictures)
        : "No picture of the sample fits. Loosen a filter, or reset them all.";
      return added[0];
    }

    function update() {
      const filters = Object.fromEntries(new FormData(form));
      filters.phrase = filters.phrase.trim().toLowerCase();
      found = find(records, filters);
      grid.replaceChildren();
      shown = 0;
      show(STEP);
    }

    const names = [...new Set(records.map((record) => record.source))].sort();
    form.elements.source?.append(...names.map((name) => make("option", { value: name }, name)));
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(update));
    more.addEventListener("click", () => show(shown + STEP)?.querySelector(".frame").focus());
    form.hidden = false;
    update();
  }

  for (const section of document.querySelectorAll("[data-gallery]")) gallery(section);
})();
