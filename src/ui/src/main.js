import { mount } from 'svelte';
import App from './App.svelte';
import { useRemembered } from './look.js';
import { registerWorker } from './sanitise.js';

useRemembered();
mount(App, { target: document.body });
registerWorker();
