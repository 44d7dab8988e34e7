// Prometheus's discovery of Azure machines, with an empty subscription.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/azure"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

func main() {
	management := newService("application/json", `{"value": []}`)
	azures := cloud.AzurePublic.Services[cloud.ResourceManager]
	azures.Endpoint = management.URL
	cloud.AzurePublic.Services[cloud.ResourceManager] = azures

	serve(func(_, clientID string) (string, time.Time, error) {
		log := &strings.Builder{}
		err := discover(clientID, slog.New(slog.NewTextHandler(log, nil)))
		if token := management.take(); err == nil && token != "" {
			return token, time.Time{}, nil
		}
		return "", time.Time{}, fmt.Errorf("%v: %s", err, log)
	})
}

// discover runs the first discovery, until it has found the machines or failed.
func discover(clientID string, logger *slog.Logger) error {
	registry := prometheus.NewRegistry()
	settings := azure.DefaultSDConfig
	settings.AuthenticationMethod = "ManagedIdentity"
	settings.SubscriptionID = "33333333-4444-5555-6666-777777777777"
	settings.ClientID = clientID
	settings.RefreshInterval = model.Duration(time.Hour)
	settings.HTTPClientConfig = config.HTTPClientConfig{TLSConfig: config.TLSConfig{InsecureSkipVerify: true}}
	failed := make(chan struct{}, 1)
	discoverer, err := settings.NewDiscoverer(discovery.DiscovererOptions{
		Logger:  slog.New(&alert{logger.Handler(), failed}),
		Metrics: settings.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry)),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	found := make(chan []*targetgroup.Group)
	go discoverer.Run(ctx, found)
	select {
	case <-found:
		return nil
	case <-failed:
		return fmt.Errorf("the discovery failed")
	}
}

// alert passes log lines on and reports the first error.
type alert struct {
	slog.Handler
	failed chan struct{}
}

func (a *alert) Handle(ctx context.Context, record slog.Record) error {
	err := a.Handler.Handle(ctx, record)
	if record.Level >= slog.LevelError {
		select {
		case a.failed <- struct{}{}:
		default:
		}
	}
	return err
}
