"use strict";
// Everything from a model or a data set goes into the page as textContent: it is never parsed as markup.
const judgments = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const [list, detail, flag, kind, words, count] = ["list", "detail", "flag", "kind", "words", "count"].map(byId);

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function options(select, values) {
  for (const [value, n] of values) {
    const option = make("option", "", `${value} (${n})`);
    option.value = value;
    select.append(option);
  }
}

function counted(values) {
  const found = new Map();
  for (const value of values) found.set(value, (found.get(value) || 0) + 1);
  return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
}

function marks(one) {
  return one.flags.map((name) => make("span", `flag ${name.replace(" ", "-")}`, name));
}

function block(title, text, gold) {
  const box = make("div");
  const body = make("p", gold ? "text gold" : "text", text || "(nothing)");
  body.tabIndex = 0; // a long text scrolls, by keys as well
  box.append(make("h3", "", title), body);
  return box;
}

function show(one, button) {
  for (const other of list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  const head = make("p");
  head.append(...marks(one), document.createTextNode(`${one.kind} · label: ${one.gold}`));
  const responses = make("div", "side");
  responses.append(block("Response A", one.response_a, one.gold === "A"), block("Response B", one.response_b, one.gold === "B"));
  const orders = make("div", "side");
  for (const order of one.orders) {
    const box = make("div");
    box.append(make("h3", "", order.title), block("Plan", order.plan || "(no plan)"), block("Execution", order.execution), block("Verdict", order.verdict));
    const raw = make("details");
    const whole = make("p", "text", order.text);
    whole.tabIndex = 0;
    raw.append(make("summary", "", "What the model wrote, whole"), whole);
    box.append(raw);
    orders.append(box);
  }
  detail.replaceChildren(head, block("Instruction", one.instruction), responses, orders);
}

function refresh() {
  const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = judgments.filter((one) =>
    (!flag.value || one.flags.includes(flag.value)) && (!kind.value || one.kind === kind.value)
    && asked.every((word) => [one.instruction, one.response_a, one.response_b].some((text) => text.toLowerCase().includes(word))));
  count.textContent = `${found.length} of ${judgments.length}`;
  list.replaceChildren(...found.map((one) => {
    const button = make("button");
    button.type = "button";
    button.append(...marks(one), document.createTextNode(one.instruction.slice(0, 120)));
    button.addEventListener("click", () => show(one, button));
    const item = make("li");
    item.append(button);
    return item;
  }));
  const first = list.querySelector("button");
  if (first) first.click();
  else detail.replaceChildren();
}

options(flag, counted(judgments.flatMap((one) => one.flags)));
options(kind, counted(judgments.map((one) => one.kind)));
byId("filters").addEventListener("submit", (event) => event.preventDefault());
for (const control of [flag, kind, words]) control.addEventListener("input", refresh);
refresh();
