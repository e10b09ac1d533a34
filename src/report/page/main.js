'use strict';
const payload = JSON.parse(document.getElementById('data').textContent);
document.querySelector('main').textContent = payload.title;
