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
  node.append(...children.flat().filter((child) => child != null && child !== false && child !== ""))
  return node
}

// Draw a part of the page again where its data is new; who had the keyboard's focus in it keeps it.
export function redraw(node, data, draw) {
  const key = JSON.stringify(data, (_, value) => (typeof value === "bigint" ? String(value) : value))
  if (drawn.get(node) === key) return
  drawn.set(node, key)
  const focus = node.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined
  const children = draw(data)
  node.replaceChildren(...[children].flat().filter((child) => child != null && child !== false))
  if (focus) node.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true })
}

export function table(caption, heads, rows) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("thead", {}, h("tr", {}, heads.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))),
      h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, at) => h("td", { class: heads[at][1] }, cell ?? "")))))))
}

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value != null && value !== "").map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value))))
}
