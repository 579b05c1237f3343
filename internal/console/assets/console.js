// What makes the pages more pleasant to use. Every page works without it; nothing here decides anything.

const all = (selector, root = document) => root.querySelectorAll(selector)

// Times in the zone and language of the reader.
const date = new Intl.DateTimeFormat(undefined, {dateStyle: 'medium', timeStyle: 'short'})
const precise = new Intl.DateTimeFormat(undefined, {dateStyle: 'full', timeStyle: 'long'})
// The hours of a chart tell their zone: where clocks are put back, one comes twice.
const hour = new Intl.DateTimeFormat(undefined, {year: 'numeric', month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit', timeZoneName: 'short'})
function localize(root) {
  for (const time of all('time[data-time]', root)) {
    const at = new Date(time.dateTime)
    time.title = precise.format(at)
    if (time.dataset.time === 'date') time.textContent = date.format(at)
    if (time.dataset.time === 'hour') time.textContent = hour.format(at)
  }
  for (const bar of all('[data-hour]', root)) {
    const title = bar.querySelector('title')
    title.textContent = hour.format(new Date(bar.dataset.hour)) + title.textContent.slice(title.textContent.indexOf(': '))
  }
}

// Menus close where somebody looks elsewhere.
addEventListener('click', e => {
  for (const menu of all('details.menu[open]')) if (!menu.contains(e.target)) menu.open = false
})
addEventListener('keydown', e => {
  if (e.key !== 'Escape') return
  for (const menu of all('details.menu[open]')) {
    menu.open = false
    if (menu.contains(document.activeElement)) menu.querySelector('summary').focus()
  }
})

// A form is sent once, however often its button is pressed.
addEventListener('submit', e => {
  const form = e.target
  if (form.method !== 'post' || e.defaultPrevented) return
  if (form.dataset.sent) return e.preventDefault()
  form.dataset.sent = 'true'
  for (const button of all('button', form)) button.setAttribute('aria-disabled', 'true')
})
addEventListener('pageshow', () => {
  for (const form of all('form[data-sent]')) {
    delete form.dataset.sent
    for (const button of all('button', form)) button.removeAttribute('aria-disabled')
  }
})

// Text is copied by a button.
function offerCopies(root) {
  for (const button of all('[data-copy]', root)) button.hidden = !navigator.clipboard
}
addEventListener('click', async e => {
  const button = e.target.closest?.('[data-copy]')
  if (!button) return
  const text = document.getElementById(button.dataset.copy)
  try {
    await navigator.clipboard.writeText(text.textContent.trim())
  } catch { // the browser does not let us: then the reader does it
    getSelection().selectAllChildren(text)
    return tell(button, 'Selected: press Ctrl+C')
  }
  tell(button, 'Copied')
})

// tell says for a moment on a button what it has done, and to those who do not see it.
const said = document.createElement('p')
said.className = 'unseen'
said.setAttribute('role', 'status')
document.getElementById('main').append(said)
function tell(button, text) {
  button.dataset.name ??= button.textContent
  button.textContent = said.textContent = text
  clearTimeout(button.timer)
  button.timer = setTimeout(() => { button.textContent = button.dataset.name; said.textContent = '' }, 2000)
}

// A list follows what is typed into its search.
for (const form of all('form[data-live]')) {
  for (const button of all('button', form)) button.hidden = true
  const target = form.dataset.live
  let timer, running
  const look = async () => {
    running?.abort()
    running = new AbortController()
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ''))
    const address = form.getAttribute('action') + '?' + query
    const list = document.getElementById(target)
    list.setAttribute('aria-busy', 'true')
    try {
      const answer = await fetch(address, {signal: running.signal, redirect: 'error'})
      if (!answer.ok) throw new Error(answer.statusText)
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(target)
      list.replaceWith(fresh)
      localize(fresh)
      offerCopies(fresh)
      history.replaceState(null, '', address)
    } catch (e) {
      if (e.name !== 'AbortError') location.assign(address) // which says what is wrong
    }
  }
  form.addEventListener('input', e => {
    clearTimeout(timer)
    timer = setTimeout(look, e.target.tagName === 'SELECT' ? 0 : 200)
  })
  form.addEventListener('submit', e => {
    e.preventDefault()
    clearTimeout(timer)
    look()
  })
}

// The answer to a form that shows something once is not asked for again: to reload it, or to come back, is to look at the key.
for (const shown of all('[data-instead]')) {
  history.replaceState(null, '', shown.dataset.instead)
  addEventListener('pageshow', e => { if (e.persisted) location.replace(shown.dataset.instead) }) // some browsers keep the page itself
}

// What is downloaded has no address: browsers keep those of downloads.
for (const link of all('a[download]')) {
  link.href = URL.createObjectURL(new Blob([atob(link.href.split(',')[1])], {type: 'text/plain'}))
}

// Who leaves a page with something that is shown once is asked whether they have kept it, once.
if (document.querySelector('[data-leave]')) {
  let asked = false
  addEventListener('beforeunload', e => {
    if (!asked) e.preventDefault()
    asked = true
  })
  for (const kept of all('[data-kept]')) kept.addEventListener('click', () => { asked = true })
}

// A date that is typed is the one that is meant.
for (const field of all('[data-chooses]')) {
  field.addEventListener('input', () => { document.getElementById(field.dataset.chooses).checked = true })
}

localize(document)
offerCopies(document)
