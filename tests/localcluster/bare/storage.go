package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	// What the scheduler and the volume controller write on a claim that waits for its volume.
	selectedNode = "volume.kubernetes.io/selected-node"
	// A volume's annotation that tells the volume controller, and us, who made it.
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// provisioner gives each claim of its classes a folder on this machine and removes it with the claim, so that claims
// can be made and deleted any number of times. (A StorageClass without a provisioner would need volumes made in
// advance, and a released one is never given out again.)
type provisioner struct {
	name    string
	folder  string
	client  kubernetes.Interface
	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes func(string) (*storage.StorageClass, error)
}

func newStorageCommand() *cobra.Command {
	var kubeconfig, folder, name string
	command := &cobra.Command{
		Use: "storage-provisioner", SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			return runStorage(server.SetupSignalContext(), kubeconfig, folder, name)
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "file with the address and the credentials of the API server")
	command.Flags().StringVar(&folder, "folder", "", "folder under which each volume gets its own")
	command.Flags().StringVar(&name, "provisioner", "", "the provisioner that the storage classes name")
	return command
}

func runStorage(ctx context.Context, kubeconfig, folder, name string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, time.Minute)
	p := &provisioner{
		name: name, folder: folder, client: client,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister().Get,
	}
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { wake() }, UpdateFunc: func(_, _ any) { wake() }, DeleteFunc: func(any) { wake() },
	}
	for _, informer := range []cache.SharedIndexInformer{
		factory.Core().V1().PersistentVolumeClaims().Informer(),
		factory.Core().V1().PersistentVolumes().Informer(),
		factory.Storage().V1().StorageClasses().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	for {
		p.pass(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// pass looks at everything once; what fails is tried again at the next event or resync.
func (p *provisioner) pass(ctx context.Context) {
	claims, _ := p.claims.List(labels.Everything())
	for _, claim := range claims {
		if err := p.provision(ctx, claim); err != nil {
			klog.ErrorS(err, "No volume made", "claim", klog.KObj(claim))
		}
	}
	volumes, _ := p.volumes.List(labels.Everything())
	for _, volume := range volumes {
		if err := p.reclaim(ctx, volume); err != nil {
			klog.ErrorS(err, "Volume not removed", "volume", volume.Name)
		}
	}
}

func (p *provisioner) provision(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	class, err := p.classes(*claim.Spec.StorageClassName)
	if err != nil || class.Provisioner != p.name {
		return nil // another's claim, or its class is not there yet: its event wakes us
	}
	waits := class.VolumeBindingMode != nil && *class.VolumeBindingMode == storage.VolumeBindingWaitForFirstConsumer
	if waits && claim.Annotations[selectedNode] == "" {
		return nil
	}
	name := "pvc-" + string(claim.UID)
	folder := filepath.Join(p.folder, name)
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	// Past the umask: hostPath volumes know no fsGroup, and pods run as users of their own.
	if err := os.Chmod(folder, 0o777); err != nil {
		return err
	}
	kind := core.HostPathDirectory
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: p.name}},
		Spec: core.PersistentVolumeSpec{
			StorageClassName:              class.Name,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: claim.Spec.Resources.Requests[core.ResourceStorage]},
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			PersistentVolumeSource:        core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: folder, Type: &kind}},
			ClaimRef: &core.ObjectReference{
				Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
		},
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		klog.InfoS("Volume made", "claim", klog.KObj(claim), "volume", name)
	}
	return err
}

func (p *provisioner) reclaim(ctx context.Context, volume *core.PersistentVolume) error {
	if volume.Annotations[provisionedBy] != p.name || volume.Status.Phase != core.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != core.PersistentVolumeReclaimDelete {
		return nil
	}
	folder := filepath.Join(p.folder, volume.Name)
	if volume.Spec.HostPath == nil || volume.Spec.HostPath.Path != folder {
		return fmt.Errorf("its folder is not %s", folder)
	}
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{}); !apierrors.IsNotFound(err) {
		return err
	}
	return nil
}
