// What Gradio's divider and thumbnail lack for readers who do not see them, or use no mouse.
() => {
  const STEP = 0.05; // of the pictures' width, for one press of an arrow key
  const set = (element, attribute, value) => {
    if (element && element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
  };

  const position = () => {
    const right = document.querySelectorAll("#pictures img")[1];
    const share = /([\d.]+)%\s*\)$/.exec(right?.style.clipPath ?? "");
    return share ? Math.round(Number(share[1])) : 50;
  };

  const push = (divider, way) => {
    const box = divider.getBoundingClientRect();
    const width = document.querySelector("#pictures img").getBoundingClientRect().width;
    const y = box.top + box.height / 2;
    let x = box.left + box.width / 2;
    const send = (target, kind) =>
      target.dispatchEvent(new MouseEvent(kind, { bubbles: true, cancelable: true, view: window, clientX: x, clientY: y }));
    send(divider, "mousedown");
    x += way * STEP * width;
    send(window, "mousemove");
    send(window, "mouseup");
  };

  const describe = () => {
    const [before, after] = document.querySelectorAll("#pictures img");
    if (before && !before.alt) before.alt = "Before: what is chosen to be left of the divider";
    if (after && !after.alt) after.alt = "After: restored as the dials stand";
    const small = document.querySelector("#place img");
    if (small) small.loading = "eager"; // Gradio's waits until it is scrolled to, and is missing in print
    set(document.querySelector("#place button"), "aria-label", "The photograph, with a frame around the tile");
    const divider = document.querySelector("#pictures [data-testid=slider]");
    set(divider, "aria-valuenow", String(position()));
    if (!divider || divider.tabIndex === 0) return;
    divider.tabIndex = 0;
    divider.setAttribute("role", "slider");
    divider.setAttribute("aria-valuemin", "0");
    divider.setAttribute("aria-valuemax", "100");
    set(divider, "aria-label", "Divider between before and after");
    divider.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      push(divider, way);
    });
  };

  new MutationObserver(describe).observe(document.body, {
    childList: true,
    subtree: true,
    attributeFilter: ["style"], // the divider's place
  });
  describe();
}
