// Build elements: what is put in is text, never markup.

const SVG = "http://www.w3.org/2000/svg"
const drawn = new WeakMap()

export function h(tag, properties = {}, ...children) {
  return filled(document.createElement(tag), properties, children)
}

export function svg(tag, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children)
}

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value)
    else if (value === true) node.setAttribute(name, "")
    else if (value !== false && value != null) node.setAttribute(name, value)
  }
  node.append(...kept(children))
  return node
}

const kept = (children) => children.flat(Infinity).filter((child) => child instanceof Node || (typeof child === "string" && child !== ""))

// Draw a part of the page again where its data is new; who had the keyboard's focus in it keeps it.
export function redraw(node, data, draw) {
  const key = JSON.stringify(data, (_, value) => (typeof value === "bigint" ? String(value) : value))
  if (drawn.get(node) === key) return
  drawn.set(node, key)
  const focus = node.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined
  node.replaceChildren(...kept([draw(data)]))
  if (focus) node.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true })
}

export function table(caption, heads, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    // The roles are the elements' own: they would be lost where a phone shows each row as a card.
    h("table", { role: "table" },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads.map(([name, kind]) => h("th", { role: "columnheader", scope: "col", class: kind }, name)))),
      h("tbody", { role: "rowgroup" }, rows.map((cells) => h("tr", { role: "row" },
        cells.map((cell, at) => h("td", { role: "cell", class: heads[at][1], "data-label": heads[at][0] }, h("div", {}, cell ?? ""))))))))
}

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value != null && value !== "").map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))))
}
