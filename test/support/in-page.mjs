// Run by the browser, in the page: each function stands alone.

/** Texts and how well they stand out from what is behind them (WCAG 2: 1 to 21), the worst first. */
export function contrasts() {
  const parse = (color) => color.match(/[\d.]+/g).map(Number)
  const luminance = (color) => {
    const [r, g, b] = parse(color).map((value) => {
      const part = value / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor
      if (parse(color)[3] !== 0) return color
    }
    return 'rgb(255, 255, 255)'
  }
  const ratio = (color, element) => {
    const [light, dark] = [luminance(color), luminance(ground(element))].sort((a, b) => b - a)
    return (light + 0.05) / (dark + 0.05)
  }
  const found = []
  for (const element of document.body.querySelectorAll('*')) {
    const text = [...element.childNodes].map((node) => (node.nodeType === 3 ? node.data.trim() : '')).join('')
    const isShown = element.checkVisibility() && element.closest('svg, .unseen, [aria-disabled=true]') === null
    if (text !== '' && isShown) found.push({ text, ratio: ratio(getComputedStyle(element).color, element) })
    if (element.localName !== 'input' || !isShown) continue
    for (const pseudo of [null, '::placeholder']) {
      found.push({ text: `input ${pseudo}`, ratio: ratio(getComputedStyle(element, pseudo).color, element) })
    }
  }
  return found.sort((a, b) => a.ratio - b.ratio)
}

/** What reaches beyond the right edge of the window. */
export function overflowing() {
  const elements = [...document.body.querySelectorAll('*')].filter((one) => one.closest('svg') === null)
  const beyond = elements.filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5)
  const texts = beyond.map((one) => `${one.localName}.${one.className}: ${one.textContent.slice(0, 40)}`)
  return document.documentElement.scrollWidth > innerWidth ? ['the document', ...texts] : texts
}

/** What moves or fades. */
export function moving() {
  const isMoving = ({ transitionDuration, animationName }) => transitionDuration !== '0s' || animationName !== 'none'
  const elements = [...document.body.querySelectorAll('*')]
  return elements.filter((one) => isMoving(getComputedStyle(one))).map((one) => `${one.localName}.${one.className}`)
}

/** Elements that nobody but markup could have made, and links that lead away. */
export function injected() {
  const foreign = [
    ...document.querySelectorAll('body script, img, iframe, object, embed, form, base, style, [onerror]'),
  ]
  const links = [...document.querySelectorAll('a')].filter((one) => !/^[#/](?!\/)/.test(one.getAttribute('href')))
  return [...foreign, ...links].map((one) => one.outerHTML)
}

/** Opens the details of every item. */
export function openAll() {
  for (const opener of document.querySelectorAll('.opener[aria-expanded=false]')) opener.click()
}
