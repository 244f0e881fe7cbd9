// Boxes and phrases of a card show each other: glip.point(card).
//
// A card is any element with a .frame and elements that carry data-phrase: <g> of a box, .score of a box, <mark> of a
// phrase. What is pointed at (pointer, keyboard focus) gets .on, the card .pointed. A click on a phrase, or Enter, holds
// it until the next click or Escape. In a .frame that has the focus, the arrow keys go from box to box (data-label is
// read out in #spoken).
// card.dataset.rest: phrases that are on while nothing is pointed at, as "0 2"; send the card "rest" after a change.
(() => {
  "use strict";
  const glip = (globalThis.glip ??= {});

  glip.say = (text) => {
    const spoken = document.getElementById("spoken");
    if (spoken) spoken.textContent = text;
  };

  glip.point = (card) => {
    const frame = card.querySelector(".frame");
    let held = null;
    let box = -1;

    function show(phrases, only) {
      card.classList.toggle("pointed", phrases !== null);
      for (const part of card.querySelectorAll("[data-phrase]")) {
        const on = phrases !== null && phrases.includes(part.dataset.phrase);
        part.classList.toggle("on", on && (!only || part.matches("mark") || part.dataset.box === only));
      }
    }

    const rest = () => {
      const matched = card.dataset.rest ? card.dataset.rest.split(" ") : null;
      show(held === null ? matched : [held]);
    };
    const phraseAt = (target) => target.closest("[data-phrase]")?.dataset.phrase;

    function hold(phrase) {
      held = held === phrase ? null : phrase;
      for (const mark of card.querySelectorAll("mark[role]")) {
        mark.setAttribute("aria-pressed", String(mark.dataset.phrase === held));
      }
      rest();
    }

    function step(by) {
      const boxes = [...card.querySelectorAll("g[data-phrase]")];
      if (!boxes.length) return;
      box = (box + by + boxes.length) % boxes.length;
      show([boxes[box].dataset.phrase], boxes[box].dataset.box);
      glip.say(`box ${box + 1} of ${boxes.length}: ${boxes[box].dataset.label}`);
    }

    card.addEventListener("pointerover", ({ target }) => {
      const phrase = phraseAt(target);
      if (phrase !== undefined) show([phrase], target.closest("g, .score")?.dataset.box);
    });
    card.addEventListener("pointerout", rest);
    card.addEventListener("focusin", ({ target }) => { if (phraseAt(target) !== undefined) show([phraseAt(target)]); });
    card.addEventListener("focusout", () => { box = -1; rest(); });
    card.addEventListener("click", ({ target }) => { if (phraseAt(target) !== undefined) hold(phraseAt(target)); });
    card.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hold(held);
      else if (event.target.matches("mark") && ["Enter", " "].includes(event.key)) hold(phraseAt(event.target));
      else if (event.target === frame && event.key === "ArrowRight") step(1);
      else if (event.target === frame && event.key === "ArrowLeft") step(box < 0 ? 0 : -1);
      else return;
      event.preventDefault();
    });
    card.addEventListener("rest", rest);
    rest();
  };
})();
